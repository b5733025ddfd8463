//! The native profile over the wire: acks, the epoch gate, resume, and what commits bring.

mod wire;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use skytale_core::extension::{
    self, Accepted, AddressedWelcome, ClaimKeyPackage, Code, Content, DropWelcome, Extension, FetchGroupInfo,
    FetchWelcomes, Find, Refused, Resume, Submit, UploadKeyPackages,
};
use skytale_core::{ChannelName, Dialect, Envelope, FrameLimits};
use skytale_store::{Directory, SqlOptions, SqlStore, Store};
use wire::{Agent, Running};

const APPLICATION: u8 = 1;
const PROPOSAL: u8 = 2;
const COMMIT: u8 = 3;

fn channel() -> ChannelName {
    ChannelName::from_strings(["org", "ns", "native"])
}

/// The clear header of a PrivateMessage; `salt` makes rivals differ.
fn private(group: &str, epoch: u64, content: u8, salt: u8) -> Bytes {
    let mut message = vec![0, 1, 0, 2, group.len() as u8];
    message.extend(group.as_bytes());
    message.extend(epoch.to_be_bytes());
    message.extend([content, 0, salt, salt, salt]);
    message.into()
}

/// A native agent that speaks frames.
struct Native {
    agent: Agent,
    requests: u64,
    delivered: VecDeque<Delivered>,
    hints: Vec<Content>,
}

/// A message of the channel as it was given; of one of the agent's own live, the place alone.
#[derive(Debug, PartialEq)]
struct Delivered {
    sequence: u64,
    previous: u64,
    id: [u8; 16],
    blob: Bytes,
}

impl Native {
    async fn connect(relay: &Running) -> Self {
        Self::open(relay, None).await
    }

    async fn with_token(relay: &Running, token: &str) -> Self {
        Self::open(relay, Some(token)).await
    }

    async fn open(relay: &Running, token: Option<&str>) -> Self {
        let agent = relay.silent_agent(Dialect::Slim3, "unnamed", 1, token).await.expect("admitted");
        Self { agent, requests: 0, delivered: VecDeque::new(), hints: Vec::new() }
    }

    /// Sends a request and returns its answer.
    async fn ask(&mut self, frame: impl FnOnce(Extension) -> Bytes, content: Content) -> Content {
        let request = self.request(frame, content, [0; 16]).await;
        self.answer(request).await
    }

    async fn request(
        &mut self,
        frame: impl FnOnce(Extension) -> Bytes,
        content: Content,
        id: [u8; 16],
    ) -> u64 {
        self.requests += 1;
        let extension = Extension::new(content).with_request(self.requests).with_message_id(id);
        self.agent.send(frame(extension)).await;
        self.requests
    }

    async fn control(&mut self, content: Content) -> Content {
        self.ask(Extension::into_frame, content).await
    }

    async fn resume(&mut self, channel: &ChannelName, after: Option<u64>) -> Content {
        self.ask(|extension| extension::subscribe(channel, &extension), Content::Resume(Resume { after }))
            .await
    }

    async fn submit(&mut self, message: Bytes, id: u8, submit: Submit) -> Content {
        let frame = |extension: Extension| extension::message(&channel(), message, &extension);
        let request = self.request(frame, Content::Submit(submit), [id; 16]).await;
        self.answer(request).await
    }

    async fn commit(&mut self, epoch: u64, id: [u8; 16]) -> Content {
        let frame = |extension: Extension| {
            extension::message(&channel(), private("g", epoch, COMMIT, id[0]), &extension)
        };
        let submit = Submit { applied: epoch, ..Default::default() };
        let request = self.request(frame, Content::Submit(submit), id).await;
        self.answer(request).await
    }

    async fn accepted(&mut self, message: Bytes, id: u8) -> u64 {
        number(self.submit(message, id, Submit::default()).await)
    }

    async fn refused(&mut self, message: Bytes, id: u8, applied: u64) -> Refused {
        match self.submit(message, id, Submit { applied, ..Default::default() }).await {
            Content::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    async fn answer(&mut self, request: u64) -> Content {
        loop {
            let (envelope, extension) = self.frame().await;
            if extension.request == request {
                return extension.content.expect("an answer");
            }
            self.keep(envelope, extension);
        }
    }

    async fn hear(&mut self) -> Delivered {
        while self.delivered.is_empty() {
            let (envelope, extension) = self.frame().await;
            self.keep(envelope, extension);
        }
        self.delivered.pop_front().expect("kept above")
    }

    /// Returns the relay's next hint, or the first there was.
    async fn hint(&mut self) -> &Content {
        while self.hints.is_empty() {
            let (envelope, extension) = self.frame().await;
            self.keep(envelope, extension);
        }
        &self.hints[0]
    }

    async fn frame(&mut self) -> (Envelope, Extension) {
        let frame = self.agent.frame().await.expect("the stream is open");
        let envelope = Envelope::parse_first(frame, &FrameLimits::default()).expect("parses");
        let extension = Extension::read(envelope.extension().expect("extended")).expect("reads");
        (envelope, extension)
    }

    fn keep(&mut self, envelope: Envelope, extension: Extension) {
        if extension.sequence == 0 {
            return self.hints.extend(extension.content);
        }
        assert_eq!((&extension.content, extension.request), (&None, 0), "a place is not an answer");
        let blob = envelope.app_payload().map(|payload| Bytes::copy_from_slice(payload.blob));
        // What is gone has none.
        let is_gone = extension.sequence == extension.previous;
        let id = if is_gone { Some([0; 16]) } else { extension.id() };
        self.delivered.push_back(Delivered {
            sequence: extension.sequence,
            previous: extension.previous,
            id: id.expect("an id"),
            blob: blob.unwrap_or_default(),
        });
    }
}

/// Takes a token for the account itself.
struct ByToken;

impl skytale_relay::Authenticator for ByToken {
    async fn authenticate(
        &self,
        credentials: &skytale_relay::Credentials,
    ) -> Result<skytale_core::Principal, skytale_relay::AuthError> {
        let token = credentials.bearer.as_ref().ok_or(skytale_relay::AuthError::Missing)?;
        Ok(skytale_core::Principal::new(token.expose(), skytale_core::Permissions::All))
    }
}

fn number(content: Content) -> u64 {
    match content {
        Content::Accepted(Accepted { sequence, .. }) => sequence,
        other => panic!("not accepted: {other:?}"),
    }
}

fn code(refused: &Refused) -> Code {
    Code::try_from(refused.code).expect("a known code")
}

#[tokio::test]
async fn an_ack_carries_the_number_and_a_member_gets_the_message_with_it() {
    let relay = Running::start().await;
    let (mut sender, mut member) = (Native::connect(&relay).await, Native::connect(&relay).await);
    assert_eq!(number(member.resume(&channel(), None).await), 0);
    let message = private("g", 0, APPLICATION, 7);
    assert_eq!(sender.accepted(message.clone(), 1).await, 1);
    assert_eq!(member.hear().await, Delivered { sequence: 1, previous: 0, id: [1; 16], blob: message });
    assert_eq!(sender.accepted(private("g", 0, APPLICATION, 8), 2).await, 2);
    let second = member.hear().await;
    assert_eq!((second.sequence, second.previous), (2, 1));
}

#[tokio::test]
async fn a_message_sent_again_keeps_its_number_and_is_delivered_once() {
    let relay = Running::start().await;
    let (mut sender, mut member) = (Native::connect(&relay).await, Native::connect(&relay).await);
    member.resume(&channel(), None).await;
    for _ in 0..3 {
        assert_eq!(sender.accepted(private("g", 0, APPLICATION, 7), 1).await, 1);
    }
    assert_eq!(sender.accepted(private("g", 0, APPLICATION, 8), 2).await, 2);
    assert_eq!((member.hear().await.sequence, member.hear().await.sequence), (1, 2));
    let find = |id: u8| Find { channel: channel().to_string(), message_id: vec![id; 16].into() };
    assert_eq!(number(sender.control(Content::Find(find(2))).await), 2);
    assert_eq!(number(sender.control(Content::Find(find(3))).await), 0, "unknown");
}

#[tokio::test]
async fn the_first_commit_of_an_epoch_wins_and_the_loser_learns_what_it_missed() {
    let relay = Running::start().await;
    let (mut first, mut second) = (Native::connect(&relay).await, Native::connect(&relay).await);
    assert_eq!(first.accepted(private("g", 0, COMMIT, 1), 1).await, 1);
    assert_eq!(first.accepted(private("g", 1, APPLICATION, 1), 2).await, 2);
    let refused = second.refused(private("g", 0, COMMIT, 9), 9, 0).await;
    assert_eq!((code(&refused), refused.epoch, refused.winner, refused.last), (Code::StaleEpoch, 1, 1, 2));
    let missed: Vec<_> = refused.missed.iter().map(|missed| missed.sequence).collect();
    assert_eq!((missed, refused.more), (vec![1, 2], false));
    let winner = Envelope::parse_first(refused.missed[0].frame.clone(), &FrameLimits::default());
    assert_eq!(winner.expect("parses").app_payload().expect("payload").blob, private("g", 0, COMMIT, 1));
    assert_eq!(
        second.refused(private("g", 0, COMMIT, 9), 9, 1).await.missed.len(),
        1,
        "after what it applied"
    );
    assert_eq!(second.accepted(private("g", 1, COMMIT, 9), 10).await, 3, "made again on the new epoch");
}

/// Commits in a loop until there are so many commits in all, and returns how many were its own.
async fn commit_again_and_again(mut member: Native, who: u8, total: u64) -> u64 {
    let (mut epoch, mut own, mut tries) = (0, 0, 0u64);
    while epoch < total {
        tries += 1;
        let mut id = [who; 16];
        id[8..].copy_from_slice(&tries.to_be_bytes());
        let until = match member.commit(epoch, id).await {
            Content::Accepted(accepted) => {
                own += u64::from(accepted.sequence <= total);
                accepted.sequence
            }
            Content::Refused(refused) if code(&refused) == Code::StaleEpoch => refused.epoch,
            Content::Refused(refused) => {
                assert_eq!(code(&refused), Code::NotYourTurn);
                assert!((1..=2_000).contains(&refused.retry_after_ms), "{}", refused.retry_after_ms);
                epoch + 1
            }
            other => panic!("{other:?}"),
        };
        while epoch < until {
            epoch = member.hear().await.sequence;
        }
    }
    own
}

#[tokio::test]
async fn every_member_that_wants_to_commit_gets_its_turn() {
    const MEMBERS: u8 = 8;
    const EACH: u64 = 25;
    let relay = Running::alone().await;
    let mut members = Vec::new();
    for who in 1..=MEMBERS {
        let mut member = Native::connect(&relay).await;
        member.resume(&channel(), None).await;
        members.push(commit_again_and_again(member, who, u64::from(MEMBERS) * EACH));
    }
    let own = futures::future::join_all(members).await;
    assert_eq!(own.iter().sum::<u64>(), u64::from(MEMBERS) * EACH);
    assert!(own.iter().all(|own| *own >= EACH - 1), "{own:?}");
}

#[tokio::test]
async fn a_losers_turn_holds_up_others_but_no_repetition_and_ends_with_its_session() {
    let relay = Running::alone().await;
    let (mut winner, mut loser) = (Native::connect(&relay).await, Native::connect(&relay).await);
    winner.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&loser.refused(private("g", 0, COMMIT, 9), 9, 0).await), Code::StaleEpoch);
    let refused = winner.refused(private("g", 1, COMMIT, 1), 2, 1).await;
    assert_eq!((code(&refused), refused.epoch, refused.winner, refused.last), (Code::NotYourTurn, 1, 1, 1));
    assert_eq!(winner.accepted(private("g", 0, COMMIT, 1), 1).await, 1, "sent again");
    winner.accepted(private("g", 1, APPLICATION, 1), 3).await;
    assert_eq!(loser.accepted(private("g", 1, COMMIT, 9), 10).await, 3);
    assert_eq!(winner.accepted(private("g", 2, COMMIT, 1), 4).await, 4, "its own turn now");

    assert_eq!(code(&loser.refused(private("g", 2, COMMIT, 9), 11, 4).await), Code::StaleEpoch);
    assert_eq!(code(&winner.refused(private("g", 3, COMMIT, 1), 5, 4).await), Code::NotYourTurn);
    drop(loser);
    let in_time = async { while !matches!(winner.commit(3, [6; 16]).await, Content::Accepted(_)) {} };
    tokio::time::timeout(std::time::Duration::from_millis(1_500), in_time)
        .await
        .expect("before the lease ends");
}

#[tokio::test]
async fn a_member_that_commits_alone_is_never_held_up() {
    let relay = Running::start().await;
    let mut member = Native::connect(&relay).await;
    member.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&member.refused(private("g", 0, COMMIT, 2), 2, 1).await), Code::StaleEpoch);
    for epoch in 1..50 {
        assert!(matches!(member.commit(epoch, [epoch as u8 + 2; 16]).await, Content::Accepted(_)));
    }
}

#[tokio::test]
async fn what_was_missed_is_inlined_up_to_a_bound() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    agent.accepted(private("g", 0, COMMIT, 1), 1).await;
    for id in 2..6 {
        let long = [private("g", 1, APPLICATION, id), vec![0; 30_000].into()].concat();
        agent.accepted(long.into(), id).await;
    }
    let refused = agent.refused(private("g", 0, COMMIT, 9), 9, 0).await;
    assert!(refused.missed.len() == 3 && refused.more, "{} missed", refused.missed.len());
}

#[tokio::test]
async fn a_message_of_a_past_epoch_is_refused_and_one_of_a_future_epoch_too() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    agent.accepted(private("g", 0, COMMIT, 1), 1).await;
    for content in [APPLICATION, PROPOSAL] {
        let stale = agent.refused(private("g", 0, content, 2), 2, 1).await;
        assert_eq!((code(&stale), stale.epoch), (Code::StaleEpoch, 1));
        assert_eq!(code(&agent.refused(private("g", 2, content, 3), 3, 1).await), Code::FutureEpoch);
        agent.accepted(private("g", 1, content, content), 10 + content).await;
    }
}

#[tokio::test]
async fn a_channel_belongs_to_the_group_of_its_first_commit() {
    let relay = Running::start().await;
    let (mut first, mut second) = (Native::connect(&relay).await, Native::connect(&relay).await);
    first.accepted(private("one", 0, COMMIT, 1), 1).await;
    for content in [APPLICATION, COMMIT] {
        let refused = second.refused(private("two", 0, content, 2), 2 + content, 0).await;
        assert_eq!(code(&refused), Code::WrongGroup);
    }
}

#[tokio::test]
async fn public_messages_and_what_is_no_mls_are_refused() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    assert_eq!(code(&agent.refused(wire::commit("g", 0, 1), 1, 0).await), Code::NotPrivate);
    assert_eq!(code(&agent.refused("plain text".into(), 1, 0).await), Code::NotMls);
    agent.accepted(private("g", 0, APPLICATION, 1), 1).await;
}

/// The clear header of a PublicMessage by which a new member commits.
fn external_commit(epoch: u64, salt: u8) -> Bytes {
    let mut message = vec![0, 1, 0, 1, 1, b'g'];
    message.extend(epoch.to_be_bytes());
    message.extend([4, 0, COMMIT, salt, salt]);
    message.into()
}

fn with_external_commits(relay: skytale_relay::Relay) -> skytale_relay::Relay {
    relay.with_external_commits(skytale_relay::ExternalCommits::Accept)
}

#[tokio::test]
async fn external_commits_are_refused_by_default() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    let refused = agent.refused(external_commit(0, 1), 1, 0).await;
    assert_eq!(code(&refused), Code::NotPrivate);
    assert!(refused.text.contains("external commits"), "{}", refused.text);
}

#[tokio::test]
async fn an_external_commit_passes_the_gate_and_brings_what_any_commit_does() {
    let relay = Running::with(with_external_commits).await;
    let (mut member, mut joiner) = (Native::connect(&relay).await, Native::connect(&relay).await);
    member.resume(&channel(), None).await;
    member.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert_eq!(code(&joiner.refused(external_commit(0, 2), 2, 0).await), Code::StaleEpoch);
    let brings = Submit { group_info: vec![7; 60].into(), ..Default::default() };
    let accepted = number(joiner.submit(external_commit(1, 3), 3, brings).await);
    assert_eq!((accepted, member.hear().await.sequence), (2, 1), "the member's own, then the joiner's");
    assert_eq!(member.hear().await.blob, external_commit(1, 3));
    let fetch = FetchGroupInfo { channel: channel().to_string() };
    let Content::GroupInfo(info) = member.control(Content::FetchGroupInfo(fetch)).await else {
        panic!("no GroupInfo")
    };
    assert_eq!((info.sequence, &info.group_info[..]), (2, &[7; 60][..]));
}

#[tokio::test]
async fn no_other_public_message_is_taken_with_external_commits() {
    let relay = Running::with(with_external_commits).await;
    let mut agent = Native::connect(&relay).await;
    let mut proposal = external_commit(0, 1).to_vec();
    proposal[14..17].copy_from_slice(&[3, 0, PROPOSAL]);
    for public in [wire::commit("g", 0, 1), wire::proposal("g", 0, 1), proposal.into()] {
        assert_eq!(code(&agent.refused(public, 1, 0).await), Code::NotPrivate);
    }
}

#[tokio::test]
async fn an_account_joins_a_channel_once_a_minute() {
    let relay = Running::with(with_external_commits).await;
    let mut joiner = Native::connect(&relay).await;
    assert_eq!(joiner.accepted(external_commit(0, 1), 1).await, 1);
    let refused = joiner.refused(external_commit(1, 2), 2, 1).await;
    assert_eq!(code(&refused), Code::Rate);
    assert!((50_000..=60_000).contains(&refused.retry_after_ms), "{}", refused.retry_after_ms);
    assert_eq!(joiner.accepted(external_commit(0, 1), 1).await, 1, "sent again");
    assert_eq!(joiner.accepted(private("g", 1, COMMIT, 2), 3).await, 2, "as a member");
}

#[tokio::test]
async fn an_external_commit_needs_the_permission_to_join() {
    use skytale_core::{Claims, Grant, Verb};
    const SECRET: &[u8] = b"a secret of at least 32 bytes, for tests";
    let tokens = skytale_relay::JwtAuthenticator::new(SECRET).expect("long enough");
    let store = Arc::new(skytale_store::MemoryStore::new());
    let relay = Running::assembled(store, tokens, with_external_commits, |listener| listener).await;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let token = |verbs: &[Verb]| {
        let grant = Grant { channels: "org/ns/*".parse().expect("a pattern"), verbs: verbs.to_vec() };
        let claims = Claims::new("acme", now, now + 60).with_grants(vec![grant]);
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
    };
    let mut stranger =
        Native::with_token(&relay, &token(&[Verb::Publish, Verb::Subscribe, Verb::Commit])).await;
    let refused = stranger.refused(external_commit(0, 1), 1, 0).await;
    assert_eq!(code(&refused), Code::NotAuthorized);
    assert!(refused.text.contains("join"), "{}", refused.text);
    let mut joiner = Native::with_token(&relay, &token(&[Verb::Join])).await;
    joiner.accepted(external_commit(0, 1), 1).await;
    assert_eq!(code(&joiner.refused(private("g", 1, COMMIT, 1), 2, 1).await), Code::NotAuthorized);
}

#[tokio::test]
async fn an_agent_that_was_away_resumes_after_its_last_message() {
    let relay = Running::start().await;
    let mut sender = Native::connect(&relay).await;
    for id in 1..=200 {
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    let mut member = Native::connect(&relay).await;
    assert_eq!(number(member.resume(&channel(), Some(150)).await), 200, "the head");
    sender.accepted(private("g", 0, APPLICATION, 201), 201).await;
    for expected in 151..=201 {
        let delivered = member.hear().await;
        assert_eq!((delivered.sequence, delivered.previous), (expected, expected - 1));
        assert_eq!(delivered.id, [expected as u8; 16]);
    }
    assert!(matches!(member.resume(&channel(), Some(999)).await, Content::Refused(_)), "beyond the end");
}

#[tokio::test]
async fn a_members_own_messages_come_as_their_places() {
    let relay = Running::start().await;
    let (mut one, mut other) = (Native::connect(&relay).await, Native::connect(&relay).await);
    one.resume(&channel(), None).await;
    other.resume(&channel(), None).await;
    for id in 1..=20 {
        let sender = if id % 3 == 0 { &mut one } else { &mut other };
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    for (member, owns_thirds) in [(&mut one, true), (&mut other, false)] {
        for id in 1..=20 {
            let is_own = (id % 3 == 0) == owns_thirds;
            let blob = if is_own { Bytes::new() } else { private("g", 0, APPLICATION, id) };
            let expected = Delivered { sequence: id.into(), previous: u64::from(id) - 1, id: [id; 16], blob };
            assert_eq!(member.hear().await, expected);
        }
    }
}

#[tokio::test]
async fn a_member_that_does_not_read_gets_its_own_messages_from_the_archive_in_order() {
    let limits = |relay: skytale_relay::Relay| {
        let mut limits = skytale_relay::Limits::default();
        limits.queued_messages = 4;
        relay.with_limits(limits)
    };
    let relay = Running::with(limits).await;
    let (mut slow, mut other) = (Native::connect(&relay).await, Native::connect(&relay).await);
    slow.resume(&channel(), None).await;
    for id in (1..=100).step_by(2) {
        let long = [private("g", 0, APPLICATION, id), vec![0; 50_000].into()].concat();
        other.accepted(long.into(), id).await;
        let own = |extension: Extension| {
            extension::message(&channel(), private("g", 0, APPLICATION, id + 1), &extension)
        };
        slow.request(own, Content::Submit(Submit::default()), [id + 1; 16]).await;
        let find = Find { channel: channel().to_string(), message_id: vec![id + 1; 16].into() };
        while number(other.control(Content::Find(find.clone())).await) == 0 {}
    }
    let mut whole = 0;
    for id in 1..=100 {
        let delivered = slow.hear().await;
        assert_eq!((delivered.sequence, delivered.previous), (id, id - 1));
        whole += u64::from(id % 2 == 0 && !delivered.blob.is_empty());
    }
    assert!(whole > 0, "some came from the archive");
}

/// Ten messages, of which a member that has read two asks for the rest when some are gone.
async fn hear_of_a_trimmed_channel(through: u64, is_subscribed: bool) -> (Running, Native, Vec<[u64; 2]>) {
    let relay = Running::start().await;
    let mut sender = Native::connect(&relay).await;
    if is_subscribed {
        sender.resume(&channel(), None).await;
    }
    for id in 1..=10 {
        sender.accepted(private("g", 0, APPLICATION, id), id).await;
    }
    relay.store.trim(&channel(), skytale_core::SequenceNumber(through)).await.expect("trim");
    let mut member = Native::connect(&relay).await;
    member.resume(&channel(), Some(2)).await;
    let mut places = Vec::new();
    for _ in through..=10 {
        let delivered = member.hear().await;
        places.push([delivered.sequence, delivered.previous]);
    }
    (relay, member, places)
}

#[tokio::test]
async fn a_trimmed_channel_shows_the_gap() {
    // The channel is known to the relay by those that are subscribed to it, or, as after a restart, not at all.
    for is_subscribed in [true, false] {
        let (_relay, _member, places) = hear_of_a_trimmed_channel(6, is_subscribed).await;
        assert_eq!(places, [[6, 6], [7, 6], [8, 7], [9, 8], [10, 9]], "3 to 6 are gone, and nothing else");
    }
}

#[tokio::test]
async fn a_channel_of_which_nothing_is_left_shows_the_gap() {
    let (relay, mut member, places) = hear_of_a_trimmed_channel(10, false).await;
    assert_eq!(places, [[10, 10]]);
    Native::connect(&relay).await.accepted(private("g", 0, APPLICATION, 11), 11).await;
    let next = member.hear().await;
    assert_eq!((next.sequence, next.previous), (11, 10));
}

#[tokio::test]
async fn a_welcome_is_readable_once_its_commit_has_won() {
    let relay = Running::start().await;
    let name = "org/ns/newcomer";
    let (mut adder, mut newcomer) = (Native::connect(&relay).await, Native::connect(&relay).await);
    newcomer.resume(&ChannelName::parse(name).expect("a name"), None).await;
    let brings = |epoch: u8| Submit {
        welcomes: vec![AddressedWelcome { agent: name.to_owned(), welcome: vec![epoch; 50].into() }],
        group_info: vec![epoch; 60].into(),
        ..Default::default()
    };
    adder.accepted(private("g", 0, COMMIT, 1), 1).await;
    assert!(matches!(adder.submit(private("g", 0, COMMIT, 2), 2, brings(0)).await, Content::Refused(_)));
    let fetch = || Content::FetchWelcomes(FetchWelcomes { agent: name.to_owned(), skip: 0 });
    let Content::Welcomes(none) = newcomer.control(fetch()).await else { panic!("no list") };
    assert!(none.welcomes.is_empty(), "its commit lost");
    let info = || Content::FetchGroupInfo(FetchGroupInfo { channel: channel().to_string() });
    assert!(matches!(adder.control(info()).await, Content::Refused(_)), "there is none");

    assert_eq!(number(adder.submit(private("g", 1, COMMIT, 3), 3, brings(1)).await), 2);
    let Content::Welcomes(waiting) = newcomer.control(fetch()).await else { panic!("no list") };
    let welcome = &waiting.welcomes[0];
    assert_eq!((welcome.channel.as_str(), welcome.sequence), ("org/ns/native", 2));
    assert_eq!(welcome.welcome, vec![1; 50]);
    assert!(matches!(newcomer.hint().await, Content::WelcomeWaits(_)), "{:?}", newcomer.hints);
    assert_eq!(newcomer.hints.len(), 1);
    let Content::GroupInfo(found) = adder.control(info()).await else { panic!("no GroupInfo") };
    assert_eq!((found.sequence, &found.group_info[..]), (2, &[1; 60][..]));

    let drop = DropWelcome { agent: name.to_owned(), id: welcome.id.clone() };
    newcomer.control(Content::DropWelcome(drop)).await;
    let Content::Welcomes(none) = newcomer.control(fetch()).await else { panic!("no list") };
    assert!(none.welcomes.is_empty(), "dropped");
}

#[tokio::test]
async fn the_last_three_group_infos_are_given_newest_first() {
    let relay = Running::start().await;
    let mut member = Native::connect(&relay).await;
    let brings = |salt: u8| Submit { group_info: vec![salt; 50].into(), ..Default::default() };
    let fetch = || Content::FetchGroupInfo(FetchGroupInfo { channel: channel().to_string() });
    for epoch in 0..5 {
        let commit = private("g", epoch, COMMIT, 1);
        assert_eq!(number(member.submit(commit, epoch as u8, brings(epoch as u8)).await), epoch + 1);
        assert!(matches!(
            member.submit(private("g", epoch, COMMIT, 2), 99, brings(99)).await,
            Content::Refused(_)
        ));
        let Content::GroupInfo(newest) = member.control(fetch()).await else { panic!("no GroupInfo") };
        let given: Vec<_> = std::iter::once(&newest).chain(&newest.older).collect();
        let sequences: Vec<_> = given.iter().map(|info| info.sequence).collect();
        let expected: Vec<_> = (1..=epoch + 1).rev().take(3).collect();
        assert_eq!(sequences, expected, "of accepted commits alone");
        assert!(given.iter().all(|info| u64::from(info.group_info[0]) + 1 == info.sequence));
    }
}

#[tokio::test]
async fn long_group_infos_are_given_as_long_as_they_fit() {
    let relay = Running::start().await;
    let mut member = Native::connect(&relay).await;
    for epoch in 0..3 {
        let brings = Submit { group_info: vec![1; 900_000].into(), ..Default::default() };
        member.submit(private("g", epoch, COMMIT, 1), epoch as u8, brings).await;
    }
    let fetch = FetchGroupInfo { channel: channel().to_string() };
    let Content::GroupInfo(newest) = member.control(Content::FetchGroupInfo(fetch)).await else {
        panic!("no GroupInfo")
    };
    assert_eq!((newest.sequence, newest.older.len()), (3, 1));
}

#[tokio::test]
async fn an_epoch_has_so_many_proposals_and_an_account_so_many_of_them() {
    let limited = |relay: skytale_relay::Relay| {
        let mut limits = skytale_relay::Limits::default();
        (limits.proposals_per_epoch, limits.proposals_per_principal) = (3, 2);
        relay.with_limits(limits)
    };
    let relay =
        Running::assembled(Arc::new(skytale_store::MemoryStore::new()), ByToken, limited, |l| l).await;
    let mut one = Native::with_token(&relay, "one").await;
    let (mut other, mut third) =
        (Native::with_token(&relay, "other").await, Native::with_token(&relay, "third").await);
    one.accepted(private("g", 0, PROPOSAL, 1), 1).await;
    one.accepted(private("g", 0, PROPOSAL, 2), 2).await;
    let refused = one.refused(private("g", 0, PROPOSAL, 3), 3, 2).await;
    assert_eq!(code(&refused), Code::ProposalLimit);
    assert!(refused.text.contains("at most 3 proposals, 2 of one account"), "{}", refused.text);
    assert_eq!(one.accepted(private("g", 0, PROPOSAL, 2), 2).await, 2, "sent again");
    assert_eq!(one.accepted(private("g", 0, APPLICATION, 2), 4).await, 3, "no proposal");
    other.accepted(private("g", 0, PROPOSAL, 4), 5).await;
    assert_eq!(code(&third.refused(private("g", 0, PROPOSAL, 5), 6, 4).await), Code::ProposalLimit);
    third.accepted(private("g", 0, COMMIT, 6), 7).await;
    for id in [8, 9] {
        one.accepted(private("g", 1, PROPOSAL, id), id).await;
    }
    assert_eq!(code(&one.refused(private("g", 0, PROPOSAL, 1), 10, 7).await), Code::StaleEpoch);
    assert_eq!(code(&one.refused(private("g", 1, PROPOSAL, 1), 11, 7).await), Code::ProposalLimit);
}

#[tokio::test]
async fn proposals_that_come_together_are_counted_and_answered_each() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    let mut requests = Vec::new();
    for id in 1..=20 {
        let content = if id % 4 == 0 { APPLICATION } else { PROPOSAL };
        let frame =
            |extension: Extension| extension::message(&channel(), private("g", 0, content, id), &extension);
        requests.push((content, agent.request(frame, Content::Submit(Submit::default()), [id; 16]).await));
    }
    let (mut archived, mut refused) = (0, 0);
    let mut answers = std::collections::HashMap::new();
    while answers.len() < requests.len() {
        let (_, extension) = agent.frame().await;
        answers.insert(extension.request, extension.content.expect("an answer"));
    }
    for (content, request) in requests {
        match &answers[&request] {
            Content::Accepted(_) => archived += u32::from(content == PROPOSAL),
            Content::Refused(why) => {
                assert_eq!((code(why), content), (Code::ProposalLimit, PROPOSAL));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((archived, refused), (8, 7));
    assert_eq!(relay.archived(["org", "ns", "native"]).await.len(), 13);
}

#[tokio::test]
async fn lenient_epochs_let_late_messages_in_but_no_late_proposals() {
    let lenient = |relay: skytale_relay::Relay| relay.with_epochs(skytale_relay::Epochs::Lenient);
    let relay = Running::with(lenient).await;
    let mut agent = Native::connect(&relay).await;
    for epoch in 0..5 {
        agent.accepted(private("g", epoch, COMMIT, 1), epoch as u8 + 1).await;
    }
    for (epoch, id) in [(2, 10), (5, 11), (3, 12), (4, 13)] {
        agent.accepted(private("g", epoch, APPLICATION, 2), id).await;
    }
    let stale = agent.refused(private("g", 1, APPLICATION, 2), 20, 9).await;
    assert_eq!((code(&stale), stale.epoch), (Code::StaleEpoch, 5));
    assert_eq!(code(&agent.refused(private("g", 6, APPLICATION, 2), 21, 9).await), Code::FutureEpoch);
    assert_eq!(code(&agent.refused(private("other", 5, APPLICATION, 2), 22, 9).await), Code::WrongGroup);
    assert_eq!(code(&agent.refused(private("g", 4, PROPOSAL, 2), 23, 9).await), Code::StaleEpoch);
}

#[tokio::test]
async fn what_a_commit_brings_is_not_archived() {
    let relay = Running::start().await;
    let mut adder = Native::connect(&relay).await;
    let welcomes = vec![AddressedWelcome { agent: "org/ns/x".to_owned(), welcome: vec![0xEE; 500].into() }];
    adder.submit(private("g", 0, COMMIT, 1), 1, Submit { welcomes, ..Default::default() }).await;
    let archived = relay.archived(["org", "ns", "native"]).await;
    assert_eq!(archived.len(), 1);
    assert!(!archived[0].body.windows(10).any(|bytes| bytes == [0xEE; 10]));
}

#[tokio::test]
async fn key_packages_are_given_once_and_the_last_resort_again() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    let name = "org/ns/agent".to_owned();
    let package = |salt: u8| Bytes::from(vec![0, 1, 0, 5, salt, salt]);
    let upload = |key_packages, last_resort| {
        let agent = name.clone();
        Content::UploadKeyPackages(UploadKeyPackages { agent, key_packages, last_resort, replace: false })
    };
    let claim = || Content::ClaimKeyPackage(ClaimKeyPackage { agent: name.clone() });
    assert!(matches!(agent.control(claim()).await, Content::Refused(_)), "none yet");
    assert!(matches!(agent.control(upload(vec!["junk".into()], Bytes::new())).await, Content::Refused(_)));
    let Content::Stock(stock) = agent.control(upload(vec![package(1), package(2)], package(9))).await else {
        panic!("no stock")
    };
    assert_eq!((stock.left, stock.wanted), (2, 98));
    for expected in [(1, false), (2, false), (9, true), (9, true)] {
        let Content::KeyPackage(given) = agent.control(claim()).await else { panic!("none given") };
        assert_eq!((given.key_package[4], given.last_resort), expected);
    }
}

#[tokio::test]
async fn an_agent_whose_keys_are_gone_replaces_its_key_packages() {
    let relay = Running::start().await;
    let mut agent = Native::connect(&relay).await;
    let name = "org/ns/agent".to_owned();
    let package = |salt: u8| Bytes::from(vec![0, 1, 0, 5, salt, salt]);
    for (replace, salt, left) in [(false, 1, 1), (false, 2, 2), (true, 3, 1)] {
        let (key_packages, last_resort) = (vec![package(salt)], package(salt + 100));
        let upload = UploadKeyPackages { agent: name.clone(), key_packages, last_resort, replace };
        let Content::Stock(stock) = agent.control(Content::UploadKeyPackages(upload)).await else {
            panic!("no stock")
        };
        assert_eq!(stock.left, left);
    }
    for expected in [3, 103] {
        let claim = Content::ClaimKeyPackage(ClaimKeyPackage { agent: name.clone() });
        let Content::KeyPackage(given) = agent.control(claim).await else { panic!("none given") };
        assert_eq!(given.key_package[4], expected);
    }
}

/// The key packages of one agent are claimed at most so often: by an account in a minute, by all in an hour.
#[tokio::test]
async fn key_packages_cannot_be_exhausted() {
    let limited = |relay: skytale_relay::Relay| {
        let mut limits = skytale_relay::Limits::default();
        (limits.claims_per_minute, limits.claims_per_hour) = (3, 5);
        relay.with_limits(limits)
    };
    let relay =
        Running::assembled(Arc::new(skytale_store::MemoryStore::new()), ByToken, limited, |l| l).await;
    let mut agent = Native::with_token(&relay, "one").await;
    let name = |number: u8| format!("org/ns/agent-{number}");
    for number in [1, 2] {
        let key_packages = (1..20).map(|salt| Bytes::from(vec![0, 1, 0, 5, salt, salt])).collect();
        let upload = UploadKeyPackages { agent: name(number), key_packages, ..Default::default() };
        agent.control(Content::UploadKeyPackages(upload)).await;
    }
    let claim = |number| Content::ClaimKeyPackage(ClaimKeyPackage { agent: name(number) });
    for _ in 0..3 {
        assert!(matches!(agent.control(claim(1)).await, Content::KeyPackage(_)));
    }
    let Content::Refused(refused) = agent.control(claim(1)).await else { panic!("one too many") };
    assert_eq!(code(&refused), Code::Rate);
    assert!(refused.text.contains("3 key packages of an agent in a minute"), "{}", refused.text);
    assert!((1..=20_000).contains(&refused.retry_after_ms), "{}", refused.retry_after_ms);
    assert!(matches!(agent.control(claim(2)).await, Content::KeyPackage(_)), "of another agent");
    let mut other = Native::with_token(&relay, "other").await;
    for _ in 0..2 {
        assert!(matches!(other.control(claim(1)).await, Content::KeyPackage(_)), "another account");
    }
    let Content::Refused(refused) = other.control(claim(1)).await else { panic!("one too many") };
    assert!(refused.text.contains("5 key packages of an agent are claimed in an hour"), "{}", refused.text);
    let last_resort = Bytes::from(vec![0, 1, 0, 5, 99, 99]);
    let upload = UploadKeyPackages { agent: name(1), last_resort, ..Default::default() };
    agent.control(Content::UploadKeyPackages(upload)).await;
    let mut third = Native::with_token(&relay, "third").await;
    let Content::KeyPackage(given) = third.control(claim(1)).await else {
        panic!("the last resort is given")
    };
    assert_eq!((given.key_package[4], given.last_resort), (99, true));
}

/// Welcomes whose commits are not decided hide none behind them, however many they are.
#[tokio::test]
async fn welcomes_are_fetched_page_by_page() {
    let store = Arc::new(skytale_store::MemoryStore::new());
    let shelves: Arc<dyn Directory> = store.clone();
    let allow = skytale_relay::AllowAnyone;
    let relay =
        Running::assembled(store.clone(), allow, |relay| relay.with_directory(shelves), |listener| listener)
            .await;
    let mut agent = Native::connect(&relay).await;
    let name = "org/ns/newcomer";
    for number in 0..70 {
        let bundle = skytale_store::Bundle {
            channel: channel(),
            commit: skytale_store::MessageId([number; 16]),
            welcomes: vec![(ChannelName::parse(name).expect("a name"), vec![number; 9].into())],
            group_info: None,
        };
        store.deposit(bundle).await.expect("deposited");
    }
    let welcomes = vec![AddressedWelcome { agent: name.to_owned(), welcome: vec![0xEE; 9].into() }];
    agent.submit(private("g", 0, COMMIT, 1), 200, Submit { welcomes, ..Default::default() }).await;
    let mut fetch = async |skip| {
        let fetch = FetchWelcomes { agent: name.to_owned(), skip };
        let Content::Welcomes(page) = agent.control(Content::FetchWelcomes(fetch)).await else {
            panic!("no list")
        };
        page
    };
    let first = fetch(0).await;
    assert_eq!((first.welcomes.len(), first.more, first.next), (0, true, 64));
    let second = fetch(first.next).await;
    assert_eq!((second.welcomes.len(), second.more, second.next), (1, false, 71));
    assert_eq!(second.welcomes[0].welcome, vec![0xEE; 9]);
}

#[tokio::test]
async fn native_and_slim_agents_of_one_channel_do_not_disturb_each_other() {
    let relay = Running::start().await;
    let mut slim = relay.agent(Dialect::Slim3, "slim", 5).await;
    let room = wire::Address { strings: ["org".into(), "ns".into(), "native".into()], id: None };
    slim.subscribe(&room).await;
    let mut native = Native::connect(&relay).await;
    native.resume(&channel(), Some(0)).await;
    let mut sender = Native::connect(&relay).await;
    sender.accepted(private("g", 0, APPLICATION, 1), 1).await;
    assert_eq!(slim.hear().await.blob, private("g", 0, APPLICATION, 1), "decodes with SLIM's own types");
    slim.say(wire::Say::msg(room, "from SLIM")).await;
    assert_eq!(native.hear().await.sequence, 1);
}

#[tokio::test]
async fn the_gate_and_the_directory_outlive_the_relay_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive.db");
    let start = || async {
        let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("open");
        let store = Arc::new(store);
        let shelves: Arc<dyn Directory> = store.clone();
        let allow = skytale_relay::AllowAnyone;
        let log: Arc<dyn Store> = store;
        Running::assembled(log, allow, |relay| relay.with_directory(shelves), |listener| listener).await
    };
    let relay = start().await;
    let mut agent = Native::connect(&relay).await;
    let welcomes = vec![AddressedWelcome { agent: "org/ns/x".to_owned(), welcome: vec![1; 9].into() }];
    agent.submit(private("g", 0, COMMIT, 1), 1, Submit { welcomes, ..Default::default() }).await;
    drop(agent);
    relay.stop().await;
    let relay = start().await;
    let mut agent = Native::connect(&relay).await;
    assert_eq!(code(&agent.refused(private("g", 0, COMMIT, 2), 2, 1).await), Code::StaleEpoch);
    assert_eq!(agent.accepted(private("g", 0, COMMIT, 1), 1).await, 1, "sent again");
    let fetch = FetchWelcomes { agent: "org/ns/x".to_owned(), skip: 0 };
    let Content::Welcomes(waiting) = agent.control(Content::FetchWelcomes(fetch)).await else {
        panic!("no list")
    };
    assert_eq!(waiting.welcomes.len(), 1);
}
