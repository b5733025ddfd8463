//! Key packages, Welcomes and group infos.

use std::sync::Arc;

use bytes::Bytes;
use skytale_core::ChannelName;
use skytale_core::extension::{
    AddressedWelcome, ClaimKeyPackage, Code, Content, DropWelcome, FetchGroupInfo, FetchWelcomes,
    MAX_GROUP_INFO, Submit, UploadKeyPackages, Welcome,
};
use skytale_store::KeyPackageDirectory;
use skytale_testing::mls::{COMMIT, private};
use skytale_testing::{RunningRelay, limited};

use crate::agent::{Native, by_token, channel, code, number};

#[tokio::test]
async fn a_welcome_is_readable_once_its_commit_has_won() {
    let relay = RunningRelay::start().await;
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
async fn a_commit_that_is_sent_again_brings_nothing_again() {
    let relay = RunningRelay::start().await;
    let (name, mut adder) = ("org/ns/newcomer", Native::connect(&relay).await);
    let brings = |salt: u8| Submit {
        welcomes: vec![AddressedWelcome { agent: name.to_owned(), welcome: vec![salt; 50].into() }],
        group_info: vec![salt; 60].into(),
        ..Default::default()
    };
    let mut commit = async |epoch: u8| {
        number(adder.submit(private("g", u64::from(epoch), COMMIT, 1), epoch, brings(epoch)).await)
    };
    assert_eq!([commit(0).await, commit(1).await], [1, 2]);
    let mut newcomer = Native::connect(&relay).await;
    let fetch = || Content::FetchWelcomes(FetchWelcomes { agent: name.to_owned(), skip: 0 });
    let Content::Welcomes(waiting) = newcomer.control(fetch()).await else { panic!("no list") };
    assert_eq!(waiting.welcomes.len(), 2);
    for Welcome { id, .. } in waiting.welcomes {
        newcomer.control(Content::DropWelcome(DropWelcome { agent: name.to_owned(), id })).await;
    }
    assert_eq!(commit(0).await, 1, "as before");
    let Content::Welcomes(none) = newcomer.control(fetch()).await else { panic!("no list") };
    assert!(none.welcomes.is_empty(), "they were used");
    let info = Content::FetchGroupInfo(FetchGroupInfo { channel: channel().to_string() });
    let Content::GroupInfo(newest) = newcomer.control(info).await else { panic!("no GroupInfo") };
    assert_eq!((newest.sequence, newest.older.len()), (2, 1));
}

#[tokio::test]
async fn the_last_three_group_infos_are_given_newest_first() {
    let relay = RunningRelay::start().await;
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
async fn a_commit_whose_group_info_is_too_long_is_refused_and_counts_without() {
    let relay = RunningRelay::start().await;
    let mut member = Native::connect(&relay).await;
    let brings = |length| Submit { group_info: vec![1; length].into(), ..Default::default() };
    let commit = || private("g", 0, COMMIT, 1);
    let Content::Refused(refused) = member.submit(commit(), 1, brings(MAX_GROUP_INFO + 1)).await else {
        panic!("too long")
    };
    assert_eq!(code(&refused), Code::TooLarge);
    assert!(refused.text.contains("524288 bytes, this one has 524289"), "{}", refused.text);
    assert_eq!(number(member.submit(commit(), 1, Submit::default()).await), 1);
    for epoch in 1..4 {
        let longest = member.submit(private("g", epoch, COMMIT, 1), epoch as u8 + 1, brings(MAX_GROUP_INFO));
        assert_eq!(number(longest.await), epoch + 1);
    }
    let fetch = FetchGroupInfo { channel: channel().to_string() };
    let Content::GroupInfo(newest) = member.control(Content::FetchGroupInfo(fetch)).await else {
        panic!("no GroupInfo")
    };
    assert_eq!((newest.sequence, newest.older.len()), (4, 2));
}

/// What the host finds wrong with one key package keeps the others out, too, and is told.
#[tokio::test]
async fn a_key_package_that_the_host_refuses_is_not_kept() {
    let relay = RunningRelay::with(|relay| {
        relay.with_key_package_validator(|key_package: &[u8], agent: &ChannelName| match key_package.last() {
            Some(0) => Err(format!("it is not one of {agent}")),
            _ => Ok(()),
        })
    })
    .await;
    let mut agent = Native::connect(&relay).await;
    let name = "org/ns/agent".to_owned();
    let mut leave = async |single_use: &[u8], last_resort: u8| {
        let package = |salt: &u8| Bytes::from(vec![0, 1, 0, 5, *salt]);
        let key_packages = single_use.iter().map(package).collect();
        let (agent_name, last_resort) = (name.clone(), package(&last_resort));
        let upload = UploadKeyPackages { agent: agent_name, key_packages, last_resort, replace: true };
        agent.control(Content::UploadKeyPackages(upload)).await
    };
    assert!(matches!(leave(&[7], 8).await, Content::Stock(stock) if stock.left == 1));
    for (single_use, last_resort) in [(&[1, 0][..], 2), (&[1, 2], 0)] {
        let Content::Refused(refused) = leave(single_use, last_resort).await else { panic!("kept") };
        assert_eq!(code(&refused), Code::Invalid);
        assert_eq!(refused.text, "a key package cannot be used: it is not one of org/ns/agent");
    }
    let many: Vec<_> = (1..=101).collect();
    let Content::Refused(refused) = leave(&many, 1).await else { panic!("kept") };
    assert_eq!(code(&refused), Code::TooLarge);
    for expected in [7, 8] {
        let claim = Content::ClaimKeyPackage(ClaimKeyPackage { agent: name.clone() });
        let Content::KeyPackage(given) = agent.control(claim).await else { panic!("none given") };
        assert_eq!(given.key_package[4], expected, "what was left before");
    }
}

#[tokio::test]
async fn key_packages_are_given_once_and_the_last_resort_again() {
    let relay = RunningRelay::start().await;
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
    let relay = RunningRelay::start().await;
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
    let limits = limited(|limits| (limits.claims_per_minute, limits.claims_per_hour) = (3, 5));
    let relay = by_token(limits).await;
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
    let shelves: Arc<dyn KeyPackageDirectory> = store.clone();
    let allow = skytale_relay::AllowAnyone;
    let relay = RunningRelay::assembled(
        store.clone(),
        allow,
        |relay| relay.with_directory(shelves),
        |listener| listener,
    )
    .await;
    let mut agent = Native::connect(&relay).await;
    let name = "org/ns/newcomer";
    for number in 0..70 {
        let bundle = skytale_store::CommitAttachments {
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
