//! Single machines, told by hand what the relay would say.

use skytale_core::extension::{Accepted, Code, Refused, message};
use skytale_core::{Dialect, Envelope, FrameLimits};

use super::*;
use crate::group::commit::Plan;
use crate::group::key_package::{KeyPackages, Uses};

const LEAVE: Ticket = 7;
const SEND: Ticket = 8;

fn channel() -> ChannelName {
    ChannelName::from_strings(["acme", "research", "room"])
}

fn identity(name: &str) -> Identity {
    Identity::generate(&ChannelName::parse(name).expect("a name")).expect("an identity")
}

/// Makes a group as another member has it, and as agents have it that it has added.
fn group(agents: &[&Identity]) -> (Group, Vec<Group>) {
    let mut others = Group::create(&identity("acme/agents/other"), CipherSuite::Classic).expect("created");
    let (stocks, adds): (Vec<_>, Vec<_>) = agents.iter().map(|agent| stocked(agent)).unzip();
    let built = others.commit(&Plan { adds, ..Plan::default() }).expect("built");
    others.merge_pending().expect("merged");
    let welcome = built.welcome.expect("a Welcome");
    let join = |(agent, mut stock): (&&Identity, KeyPackages)| Group::join(agent, &welcome, &mut stock);
    let joined = agents.iter().zip(stocks).map(join).collect::<Result<_>>();
    (others, joined.expect("joined"))
}

/// Makes a key package; returns it with its agent's name, and the stock that has its private half.
fn stocked(agent: &Identity) -> (KeyPackages, (String, Vec<u8>)) {
    let mut stock = KeyPackages::default();
    let key_package =
        stock.generate(agent, CipherSuite::Classic, Uses::Once, std::time::SystemTime::now()).expect("made");
    (stock, (agent.text().to_owned(), key_package))
}

/// Makes a group of two: another member's, and an agent's machine, which joined by commit 1.
fn two(rejoin_policy: RejoinPolicy) -> (Group, Machine) {
    let (others, mut joined) = group(&[&identity("acme/agents/agent")]);
    let options = Options { rejoin_policy, ..Options::default() };
    (others, Machine::joined(&channel(), joined.remove(0), 1, options))
}

fn commit(group: &mut Group, removes: Vec<u32>) -> Vec<u8> {
    let built = group.commit(&Plan { removes, ..Plan::default() }).expect("built");
    group.merge_pending().expect("merged");
    built.commit
}

fn step(machine: &mut Machine, input: Input, now: Now) -> Effects {
    machine.handle(input, now).expect("handles");
    machine.take_effects().expect("effects")
}

/// Returns what the only frame asks: its number, and the MLS message that it carries.
fn asked(effects: &Effects) -> (u64, Vec<u8>) {
    let [frame] = &effects.frames[..] else { panic!("{} frames", effects.frames.len()) };
    let limits = FrameLimits::default();
    let envelope = Envelope::parse(frame.clone(), Dialect::Slim3, &limits).expect("parses");
    let extension = Extension::read(envelope.extension().expect("an extension")).expect("reads");
    (extension.request, envelope.app_payload().map(|payload| payload.blob.to_vec()).unwrap_or_default())
}

fn answer(request: u64, content: Content) -> Input {
    Input::Frame(Extension::new(content).with_request(request).into_frame())
}

fn accept(request: u64, sequence: u64) -> Input {
    answer(request, Content::Accepted(Accepted { sequence, ..Default::default() }))
}

/// A refusal by a relay that is some epochs ahead.
fn refuse(request: u64, code: Code) -> Input {
    let refused =
        Refused { code: code.into(), epoch: 9, last: 99, retry_after_ms: 100, ..Default::default() };
    answer(request, Content::Refused(refused))
}

fn deliver(sequence: u64, mls_message: Vec<u8>) -> Input {
    let id = id_of(&mls_message);
    let extension =
        Extension { sequence, previous: sequence - 1, ..Extension::default() }.with_message_id(id);
    Input::Frame(message(&channel(), mls_message.into(), &extension))
}

fn connect(machine: &mut Machine) -> Effects {
    let (request, _) = asked(&step(machine, Input::Connected, 0));
    step(machine, accept(request, 1), 0)
}

fn send(machine: &mut Machine) -> Effects {
    step(machine, Input::Send { ticket: SEND, body: b"hello".to_vec() }, 0)
}

/// Lets the group go on by two commits, of which the agent sees the second.
fn fork(others: &mut Group, machine: &mut Machine) -> Effects {
    let (_, second) = (commit(others, Vec::new()), commit(others, Vec::new()));
    let effects = step(machine, deliver(2, second), 0);
    assert_eq!(machine.phase(), Phase::Forked(2));
    effects
}

fn is_told(effects: &Effects, told: Ticket, expected: impl Fn(&Result<u64>) -> bool) -> bool {
    effects.done.iter().any(|(ticket, outcome)| *ticket == told && expected(outcome))
}

fn not_a_member(outcome: &Result<u64>) -> bool {
    matches!(outcome, Err(Error::NotAMember { .. }))
}

#[test]
fn a_stream_whose_subscription_is_refused_is_given_up() {
    for code in [Code::Rate, Code::Unavailable, Code::NotYourTurn, Code::NotAuthorized, Code::Invalid] {
        let (_, mut machine) = two(RejoinPolicy::default());
        let (request, _) = asked(&step(&mut machine, Input::Connected, 0));
        let refused = step(&mut machine, refuse(request, code), 0);
        match (code, refused.hang_up) {
            (Code::NotAuthorized | Code::Invalid, Some(Error::NotAuthorized { .. })) => {}
            (_, Some(Error::Refused { retry_after: Some(_), .. })) => {}
            (_, why) => panic!("{code:?}: {why:?}"),
        }
        step(&mut machine, Input::Disconnected, 0);
        connect(&mut machine);
        assert!(machine.is_subscribed());
    }
}

#[test]
fn a_removed_agent_asks_for_no_other_stream() {
    let (mut others, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let leaf = machine.group().own_leaf();
    step(&mut machine, deliver(2, commit(&mut others, vec![leaf])), 0);
    assert_eq!(machine.phase(), Phase::Evicted);
    step(&mut machine, Input::Disconnected, 0);
    let (request, _) = asked(&step(&mut machine, Input::Connected, 0));
    assert!(step(&mut machine, refuse(request, Code::NotAuthorized), 0).hang_up.is_none());
}

#[test]
fn who_wants_to_leave_is_answered_over_a_broken_connection() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let (_, first) = asked(&step(&mut machine, Input::Leave { ticket: LEAVE }, 0));
    step(&mut machine, Input::Disconnected, 0);
    let (request, second) = asked(&connect(&mut machine));
    assert_ne!(first, second, "a key is used once");
    let accepted = step(&mut machine, accept(request, 2), 0);
    assert!(is_told(&accepted, LEAVE, |outcome| matches!(outcome, Ok(2))));
    assert!(accepted.frames.is_empty());
}

#[test]
fn who_wants_to_leave_waits_for_a_commit_that_is_pending() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let (_, rotation) = asked(&step(&mut machine, Input::Change { ticket: 1, intent: Intent::Rotate }, 0));
    let waiting = step(&mut machine, Input::Leave { ticket: LEAVE }, 0);
    assert!(waiting.frames.is_empty() && waiting.done.is_empty());
    asked(&step(&mut machine, deliver(2, rotation), 0));
}

#[test]
fn a_proposal_to_leave_that_came_too_late_is_made_again_in_the_next_epoch() {
    let (mut others, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let (request, _) = asked(&step(&mut machine, Input::Leave { ticket: LEAVE }, 0));
    let refused = step(&mut machine, refuse(request, Code::StaleEpoch), 0);
    assert!(refused.frames.is_empty() && refused.done.is_empty());
    let (request, _) = asked(&step(&mut machine, deliver(2, commit(&mut others, Vec::new())), 0));
    let refused = step(&mut machine, refuse(request, Code::Rate), 0);
    assert!(refused.frames.is_empty() && refused.done.is_empty());
    assert_eq!(machine.wakes_at(), Some(100));
    let (request, _) = asked(&step(&mut machine, Input::Tick, 100));
    let refused = step(&mut machine, refuse(request, Code::ProposalLimit), 100);
    assert!(is_told(&refused, LEAVE, Result::is_err), "what no waiting helps against is told");
}

#[test]
fn a_proposal_to_leave_that_is_refused_after_the_next_epoch_has_begun_is_made_again_at_once() {
    let (mut others, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let (request, _) = asked(&step(&mut machine, Input::Leave { ticket: LEAVE }, 0));
    let followed = step(&mut machine, deliver(2, commit(&mut others, Vec::new())), 0);
    assert!(followed.frames.is_empty());
    let refused = Refused { code: Code::StaleEpoch.into(), epoch: 2, last: 2, ..Default::default() };
    asked(&step(&mut machine, answer(request, Content::Refused(refused)), 0));
}

#[test]
fn who_wants_to_leave_and_is_removed_has_left() {
    let (mut others, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    step(&mut machine, Input::Leave { ticket: LEAVE }, 0);
    let leaf = machine.group().own_leaf();
    let removed = step(&mut machine, deliver(2, commit(&mut others, vec![leaf])), 0);
    assert!(is_told(&removed, LEAVE, |outcome| matches!(outcome, Ok(2))));
}

#[test]
fn a_forked_agent_that_does_not_come_back_by_itself_sends_nothing() {
    let (mut others, mut machine) = two(RejoinPolicy::Wait);
    connect(&mut machine);
    send(&mut machine);
    assert!(is_told(&fork(&mut others, &mut machine), SEND, not_a_member));
    assert!(is_told(&send(&mut machine), SEND, not_a_member));
}

#[test]
fn a_forked_agent_that_is_let_back_by_nobody_sends_nothing() {
    for code in [Code::NotPrivate, Code::NotAuthorized] {
        let (mut others, mut machine) = two(RejoinPolicy::ExternalCommit);
        connect(&mut machine);
        let (request, _) = asked(&fork(&mut others, &mut machine));
        assert!(send(&mut machine).done.is_empty(), "it waits for the way back");
        assert!(is_told(&step(&mut machine, refuse(request, code), 0), SEND, not_a_member));
        assert!(is_told(&send(&mut machine), SEND, not_a_member));
        assert!(machine.wakes_at().is_some(), "it asks again");
    }
}

#[test]
fn nothing_wakes_a_machine_that_could_do_nothing() {
    let (mut others, mut machine) = two(RejoinPolicy::ExternalCommit);
    connect(&mut machine);
    let (request, _) = asked(&send(&mut machine));
    step(&mut machine, refuse(request, Code::Rate), 0);
    assert_eq!(machine.wakes_at(), Some(100));
    let (request, _) = asked(&fork(&mut others, &mut machine));
    step(&mut machine, Input::Tick, 200);
    assert_eq!(machine.wakes_at(), None, "it is forked, and has asked for the way back");
    step(&mut machine, refuse(request, Code::NotFound), 200);
    assert!(machine.wakes_at().is_some_and(|at| at > 200));
    step(&mut machine, Input::Disconnected, 1_000_000);
    assert_eq!(machine.wakes_at(), None, "there is nobody to ask");
}

#[test]
fn a_message_that_waits_behind_a_stale_one_wakes_nobody() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let (first, _) = asked(&send(&mut machine));
    let (second, _) = asked(&send(&mut machine));
    step(&mut machine, refuse(second, Code::Rate), 0);
    step(&mut machine, refuse(first, Code::StaleEpoch), 0);
    step(&mut machine, Input::Tick, 200);
    assert_eq!(machine.wakes_at(), None);
}

#[test]
fn the_last_word_of_a_stream_says_why_it_ends_and_when_to_come_back() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let ended = step(&mut machine, refuse(0, Code::Unavailable), 0);
    assert!(!machine.is_subscribed());
    assert!(
        matches!(ended.hang_up, Some(Error::Refused { code: "UNAVAILABLE", retry_after: Some(_), .. })),
        "{:?}",
        ended.hang_up
    );
}

#[test]
fn a_relay_that_drains_says_when_to_come_back() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let drain = skytale_core::extension::Drain { retry_after_ms: 3_000 };
    let ended = step(&mut machine, Input::Frame(Extension::new(Content::Drain(drain)).into_frame()), 0);
    let Some(Error::Refused { retry_after, .. }) = ended.hang_up else { panic!("{:?}", ended.hang_up) };
    assert_eq!(retry_after, Some(std::time::Duration::from_secs(3)));
}

/// An agent of a group of two, with what it has stored.
struct Agent {
    identity: Identity,
    stored: Stored,
}

impl Agent {
    /// Makes the group, and returns it as the other member has it, too.
    fn of_two() -> (Group, Self) {
        let identity = identity("acme/agents/agent");
        let (others, mut joined) = group(&[&identity]);
        let mut agent = Self { identity, stored: Stored::new() };
        agent.step(&mut Machine::joined(&channel(), joined.remove(0), 1, Options::default()), Input::Tick);
        (others, agent)
    }

    fn start(&self) -> Machine {
        Machine::load(&channel(), &self.identity, self.stored.clone(), Options::default()).expect("loads")
    }

    /// Takes a step, and stores what it asks for.
    fn step(&mut self, machine: &mut Machine, input: Input) -> Effects {
        let mut effects = step(machine, input, 0);
        crate::state::apply(&mut self.stored, std::mem::take(&mut effects.changes));
        effects
    }
}

/// Makes a group of two: another member's, and an agent's machine that was loaded from a copy of its state.
fn in_doubt() -> (Group, Machine) {
    let (others, mut agent) = Agent::of_two();
    let doubt = Change::Put { kind: Kind::Doubt, key: ONLY.to_vec(), value: Vec::new() };
    crate::state::apply(&mut agent.stored, vec![doubt]);
    (others, agent.start())
}

fn is_commit(message: &[u8]) -> bool {
    use skytale_core::mls::{ContentType, MlsHeader};
    matches!(MlsHeader::read(message), Some(MlsHeader::Framed { content: ContentType::Commit, .. }))
}

/// Another member's commit makes an epoch that the original may have spoken in: only the agent's own new keys count.
#[test]
fn an_epoch_of_others_takes_no_doubt_away() {
    let (mut others, mut machine) = in_doubt();
    send(&mut machine);
    let (request, first) = asked(&connect(&mut machine));
    step(&mut machine, refuse(request, Code::NotYourTurn), 0);
    let (_, second) = asked(&step(&mut machine, deliver(2, commit(&mut others, Vec::new())), 0));
    assert!(is_commit(&first) && is_commit(&second), "nothing but commits");
    asked(&step(&mut machine, deliver(3, second), 0));
}

#[test]
fn an_agent_in_doubt_that_may_not_commit_says_so_and_tries_again_later() {
    let (_, mut machine) = in_doubt();
    send(&mut machine);
    let (request, _) = asked(&connect(&mut machine));
    let refused = step(&mut machine, refuse(request, Code::NotAuthorized), 0);
    let not_authorized = |outcome: &Result<u64>| matches!(outcome, Err(Error::NotAuthorized { .. }));
    assert!(refused.frames.is_empty() && is_told(&refused, SEND, not_authorized));
    assert!(is_told(&send(&mut machine), SEND, not_authorized));
    let later = machine.wakes_at().expect("it tries again");
    assert!(is_commit(&asked(&step(&mut machine, Input::Tick, later)).1));
}

#[test]
fn an_agent_in_doubt_encrypts_nothing_before_it_has_new_keys() {
    let (_, mut machine) = in_doubt();
    assert!(send(&mut machine).frames.is_empty());
    let (_, rotation) = asked(&connect(&mut machine));
    assert!(is_commit(&rotation));
    let renewed = step(&mut machine, deliver(2, rotation), 0);
    asked(&renewed);
    let is_certain = |change: &Change| matches!(change, Change::Delete { kind: Kind::Doubt, .. });
    assert!(renewed.changes.iter().any(is_certain), "from now on it is in order");
}

/// The ways into another history than the others': another commit is shown to this agent (an equivocating relay), or it
/// has joined by the Welcome of a commit that lost. Either way the first message of the others tells that something is
/// wrong, their first commit what it is, and the agent asks for the way back.
#[test]
fn an_agent_in_another_history_notices() {
    for joins_by_a_losing_welcome in [false, true] {
        let (agent, rival) = (identity("acme/agents/agent"), identity("acme/agents/rival"));
        let (mut others, mut rivals, group) = if joins_by_a_losing_welcome {
            let (others, mut joined) = group(&[&rival]);
            let mut rivals = joined.remove(0);
            let (mut stock, add) = stocked(&agent);
            let built = rivals.commit(&Plan { adds: vec![add], ..Plan::default() }).expect("built");
            rivals.merge_pending().expect("merged");
            let welcome = built.welcome.expect("a Welcome");
            (others, rivals, Group::join(&agent, &welcome, &mut stock).expect("joined"))
        } else {
            let (others, mut joined) = group(&[&rival, &agent]);
            let group = joined.remove(1);
            (others, joined.remove(0), group)
        };
        let mut machine = Machine::joined(&channel(), group, 1, Options::default());
        connect(&mut machine);
        if !joins_by_a_losing_welcome {
            let shown = commit(&mut rivals, Vec::new());
            step(&mut machine, deliver(2, shown), 0);
        }
        commit(&mut others, Vec::new());
        assert_eq!(others.epoch(), machine.group().epoch(), "numbers do not tell");
        assert_ne!(others.epoch_authenticator(), machine.group().epoch_authenticator());

        let said = others.encrypt(&[0; 256]).expect("encrypts");
        let heard = step(&mut machine, deliver(3, said), 0);
        let is_unreadable =
            |(_, event): &(_, Event)| matches!(event, Event::Undecryptable { sequence: 3, .. });
        assert!(heard.events.iter().any(is_unreadable), "{:?}", heard.events);
        let followed = step(&mut machine, deliver(4, commit(&mut others, Vec::new())), 0);
        let is_forked = |(_, event): &(_, Event)| matches!(event, Event::Forked { sequence: 4, .. });
        assert!(followed.events.iter().any(is_forked), "{:?}", followed.events);
        asked(&followed);
        assert_eq!(machine.phase(), Phase::Forked(4));
    }
}

#[test]
fn an_agent_that_speaks_has_new_keys_after_a_day() {
    const DAY: Now = 24 * 60 * 60 * 1_000;
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let say = |machine: &mut Machine, now| {
        let said = step(machine, Input::Send { ticket: SEND, body: b"hello".to_vec() }, now);
        said.frames.len()
    };
    assert_eq!(
        [0, DAY - 1, DAY].map(|now| say(&mut machine, now)),
        [1, 1, 2],
        "a commit goes with the last one"
    );
    assert_eq!(say(&mut machine, DAY), 1, "once");
}

#[test]
fn events_of_one_number_keep_their_places_over_a_restart() {
    let (_, mut agent) = Agent::of_two();
    let mut machine = agent.start();
    connect(&mut machine);
    let gone = Extension { sequence: 5, previous: 5, ..Extension::default() }.into_frame();
    let told = agent.step(&mut machine, Input::Frame(gone));
    assert!(matches!(told.events[..], [(Some(EventKey { sequence: 5, part: 0 }), Event::Gap { .. })]));

    let mut machine = agent.start();
    connect(&mut machine);
    let (request, _) = asked(&send(&mut machine));
    let refused = Refused { code: Code::StaleEpoch.into(), epoch: 9, last: 5, ..Default::default() };
    let told = agent.step(&mut machine, answer(request, Content::Refused(refused)));
    assert!(matches!(told.events[..], [(Some(EventKey { sequence: 5, part: 1 }), Event::Forked { .. })]));
}

#[test]
fn a_message_that_is_refused_after_a_restart_is_told_of() {
    let (_, mut agent) = Agent::of_two();
    agent.step(&mut agent.start(), Input::Send { ticket: SEND, body: b"hello".to_vec() });
    let mut machine = agent.start();
    let (request, _) = asked(&connect(&mut machine));
    let told = agent.step(&mut machine, refuse(request, Code::NotAuthorized));
    let [(Some(_), Event::NotSent(unsent))] = &told.events[..] else { panic!("{:?}", told.events) };
    assert_eq!(unsent.body, b"hello");
    assert!(!format!("{unsent:?}").contains("hello") && !format!("{unsent:?}").contains("104"));
    assert!(connect(&mut agent.start()).frames.is_empty(), "it is not sent again");
}

#[test]
fn a_change_that_is_refused_after_a_restart_is_told_of() {
    let (_, mut agent) = Agent::of_two();
    let intent = Intent::Remove { agent: "acme/agents/other".to_owned() };
    agent.step(&mut agent.start(), Input::Change { ticket: SEND, intent });
    let mut machine = agent.start();
    let (request, _) = asked(&connect(&mut machine));
    let told = agent.step(&mut machine, refuse(request, Code::NotAuthorized));
    let [(Some(_), Event::NotChanged { agent: other, .. })] = &told.events[..] else {
        panic!("{:?}", told.events)
    };
    assert_eq!(other, "acme/agents/other");
    assert!(connect(&mut agent.start()).frames.is_empty(), "it is not tried again");
}

/// Who was removed still has the key of the GroupInfo, and can make a commit that a relay takes.
#[test]
fn nobody_follows_a_removed_member_back_into_the_group() {
    let (agent, removed) = (identity("acme/agents/agent"), identity("acme/agents/removed"));
    let (mut others, mut joined) = group(&[&agent, &removed]);
    let (removed, group) = (joined.remove(1), joined.remove(0));
    let mut machine = Machine::joined(&channel(), group, 1, Options::default());
    connect(&mut machine);
    let leaf = removed.own_leaf();
    let built = others.commit(&Plan { removes: vec![leaf], ..Plan::default() }).expect("built");
    others.merge_pending().expect("merged");
    let (_, back) = removed.return_by(&built.group_info).expect("it has the key");
    step(&mut machine, deliver(2, built.commit), 0);
    let (request, _) = asked(&step(&mut machine, deliver(3, back.commit), 0));
    assert_eq!(machine.phase(), Phase::Forked(3));

    let info = |sequence, group_info: &Vec<u8>| skytale_core::extension::GroupInfo {
        group_info: group_info.clone().into(),
        sequence,
        older: Vec::new(),
    };
    let found = Content::GroupInfo(info(3, &back.group_info));
    assert!(step(&mut machine, answer(request, found), 0).frames.is_empty(), "it is not followed");
    let later = machine.wakes_at().expect("it asks again");
    let (request, _) = asked(&step(&mut machine, Input::Tick, later));
    let mut found = info(3, &back.group_info);
    found.older.push(info(2, &built.group_info));
    let (_, commit) = asked(&step(&mut machine, answer(request, Content::GroupInfo(found)), later));
    assert!(is_commit(&commit), "it comes back to the others");
}

/// With lenient epochs a message may come after its sender's leaf has become another agent's.
#[test]
fn a_late_message_is_its_senders_and_not_of_who_has_the_leaf_since() {
    let (agent, bob) = (identity("acme/agents/agent"), identity("acme/agents/bob"));
    let (mut others, mut joined) = group(&[&agent, &bob]);
    let (mut bobs, group) = (joined.remove(1), joined.remove(0));
    let mut machine = Machine::joined(&channel(), group, 1, Options::default());
    connect(&mut machine);
    let content = crate::content::Content::Message(b"late".to_vec());
    let said = bobs.encrypt(&content.encode(Padding::default()).expect("encoded")).expect("encrypted");
    let leaf = bobs.own_leaf();
    step(&mut machine, deliver(2, commit(&mut others, vec![leaf])), 0);
    let (_, add) = stocked(&identity("acme/agents/carol"));
    let built = others.commit(&Plan { adds: vec![add], ..Plan::default() }).expect("built");
    others.merge_pending().expect("merged");
    step(&mut machine, deliver(3, built.commit), 0);
    let carol = machine.group().members().into_iter().find(|member| member.leaf == leaf);
    assert_eq!(carol.map(|member| member.agent).as_deref(), Some("acme/agents/carol"));
    let heard = step(&mut machine, deliver(4, said), 0);
    let [(_, Event::Message(message))] = &heard.events[..] else { panic!("{:?}", heard.events) };
    assert_eq!(message.sender, "acme/agents/bob");
}

/// Gives a machine several changes to make at once.
fn change(machine: &mut Machine, intents: Vec<Intent>) -> Effects {
    for (ticket, intent) in (1..).zip(intents) {
        machine.handle(Input::Change { ticket, intent }, 0).expect("handles");
    }
    machine.take_effects().expect("effects")
}

fn add(agent: &str) -> Intent {
    let (_, (agent, key_package)) = stocked(&identity(agent));
    Intent::Add { agent, key_package }
}

#[test]
fn a_useless_key_package_holds_up_no_other_change() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let useless = Intent::Add { agent: "acme/agents/mallory".to_owned(), key_package: vec![0; 64] };
    let effects = change(&mut machine, vec![add("acme/agents/bob"), useless, Intent::Rotate]);
    let effects = step(&mut machine, deliver(2, asked(&effects).1), 0);
    assert!(is_told(&effects, 1, |outcome| matches!(outcome, Ok(2))));
    assert!(is_told(&effects, 2, |outcome| matches!(outcome, Err(Error::NoKeyPackage { .. }))));
    let effects = step(&mut machine, deliver(3, asked(&effects).1), 0);
    assert!(is_told(&effects, 3, |outcome| matches!(outcome, Ok(3))));
}

#[test]
fn a_commit_too_large_for_a_frame_is_made_in_several_or_refused() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    machine.options.commit_bytes = 6_000;
    let agents = ["acme/agents/bob", "acme/agents/carol", "acme/agents/dave", "acme/agents/erin"];
    let mut effects = change(&mut machine, agents.map(add).into());
    let (mut told, mut commits) = (0, 0);
    while !effects.frames.is_empty() {
        commits += 1;
        effects = step(&mut machine, deliver(1 + commits, asked(&effects).1), 0);
        assert!(effects.done.iter().all(|(_, outcome)| outcome.is_ok()), "{:?}", effects.done);
        told += effects.done.len();
    }
    assert_eq!((told, machine.group().members().len()), (4, 6));
    assert!(commits > 1);

    machine.options.commit_bytes = 100;
    let effects = change(&mut machine, vec![Intent::Rotate]);
    let is_too_large = |outcome: &Result<u64>| matches!(outcome, Err(Error::TooLarge { allowed: 100, .. }));
    assert!(effects.frames.is_empty() && is_told(&effects, 1, is_too_large));
}

#[test]
fn an_agent_cannot_remove_itself() {
    let (_, mut machine) = two(RejoinPolicy::default());
    connect(&mut machine);
    let effects = change(&mut machine, vec![Intent::Remove { agent: "acme/agents/agent".to_owned() }]);
    assert!(is_told(&effects, 1, |outcome| matches!(outcome, Err(Error::Configuration { .. }))));
}

/// Tells a machine of what was said at numbers 2 and 3, in this order.
fn hear(machine: &mut Machine, said: [&Vec<u8>; 2]) {
    for (sequence, message) in (2..).zip(said) {
        step(machine, deliver(sequence, message.clone()), 0);
    }
}

#[test]
fn a_relay_that_shows_its_members_different_histories_is_noticed_by_the_next_message() {
    let names = [identity("acme/agents/alice"), identity("acme/agents/bob"), identity("acme/agents/carol")];
    let (mut others, joined) = group(&names.each_ref());
    let join = |group| Machine::joined(&channel(), group, 1, Options::default());
    let mut machines: Vec<_> = joined.into_iter().map(join).collect();
    let said = [b"yes", b"no!"].map(|body| {
        let content = crate::content::Content::Message(body.to_vec()).encode(Padding::None).expect("fits");
        others.encrypt(&content).expect("encrypts")
    });
    let [alice, bob, carol] = &mut machines[..] else { unreachable!("three have joined") };
    hear(alice, [&said[0], &said[1]]);
    hear(bob, [&said[1], &said[0]]);
    hear(carol, [&said[0], &said[1]]);
    connect(alice);
    let (_, message) = asked(&send(alice));
    let told = step(bob, deliver(4, message.clone()), 0).events;
    let [(_, Event::HistoryDiffers { sender, sequence: 4, through: 3, own, theirs }), (_, Event::Message(_))] =
        &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(sender, "acme/agents/alice");
    assert_ne!(own, theirs);
    let told = step(carol, deliver(4, message), 0).events;
    assert!(matches!(&told[..], [(_, Event::Message(_))]), "{told:?}");
}
