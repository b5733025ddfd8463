//! The contract of [`KeyPackageDirectory`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use skytale_core::{ChannelName, SequenceNumber};

use super::{channel, id};
use crate::contract::directory::{CommitAttachments, KeyPackageDirectory, MAX_GROUP_INFOS};

/// Runs every check of [`KeyPackageDirectory`].
pub async fn directory(directory: &Arc<dyn KeyPackageDirectory>) {
    a_key_package_is_given_once(directory).await;
    a_key_package_that_is_left_again_is_held_once(directory).await;
    the_last_resort_is_given_again(directory).await;
    dropped_key_packages_are_not_given(directory).await;
    welcomes_are_listed_from_a_place_on(directory).await;
    attachments_are_kept_once_until_they_are_resolved(directory).await;
    old_group_infos_go_but_for_the_newest(directory).await;
    a_refused_bundle_is_forgotten(directory).await;
    group_infos_are_listed_newest_first(directory).await;
    commits_that_lose_push_no_group_info_out(directory).await;
}

/// However many claim at once, each key package is given once, and then there is none.
pub async fn a_key_package_is_given_once(directory: &Arc<dyn KeyPackageDirectory>) {
    let agent = channel();
    let packages = (0..100u8).map(|number| Bytes::from(vec![number; 300])).collect();
    assert_eq!(directory.add_key_packages(&agent, packages, None).await.expect("add"), 100);
    let claims = (0..120).map(|_| directory.claim_key_package(&agent));
    let claims = futures::future::join_all(claims).await;
    let given: Vec<_> = claims.into_iter().filter_map(|claim| claim.expect("claim")).collect();
    let distinct: BTreeSet<_> = given.iter().map(|claimed| claimed.key_package.clone()).collect();
    assert_eq!((given.len(), distinct.len()), (100, 100));
    assert!(given.iter().all(|claimed| !claimed.is_last_resort));
    assert_eq!(directory.count_key_packages(&agent).await.expect("count"), 0);
}

/// An upload that is repeated adds nothing, however many repeat it at once; another agent's own are not concerned.
pub async fn a_key_package_that_is_left_again_is_held_once(directory: &Arc<dyn KeyPackageDirectory>) {
    let (agent, other) = (channel(), channel());
    let packages = |numbers: &[u8]| numbers.iter().map(|number| Bytes::from(vec![*number; 300])).collect();
    let unheld = |numbers: &[u8]| directory.unheld_key_packages(&agent, packages(numbers));
    let uploads =
        (0..8).map(|_| directory.add_key_packages(&agent, packages(&[1, 2, 3, 3]), Some("last".into())));
    futures::future::try_join_all(uploads).await.expect("add");
    assert_eq!(unheld(&[3, 4, 4, 1, 5]).await.expect("compared"), packages(&[4, 5]));
    let left = directory.add_key_packages(&agent, packages(&[2, 4]), Some("last".into())).await.expect("add");
    assert_eq!(left, 4, "one is new");
    assert_eq!(directory.add_key_packages(&other, packages(&[1]), None).await.expect("add"), 1);
    let mut claimed = Vec::new();
    for _ in 0..5 {
        claimed.push(
            directory.claim_key_package(&agent).await.expect("claim").expect("there is one").key_package,
        );
    }
    assert_eq!(claimed[..4], packages(&[1, 2, 3, 4]), "each once, the oldest first");
    assert_eq!(claimed[4], "last");
    assert_eq!(unheld(&[1]).await.expect("compared"), packages(&[1]), "it is held no more");
}

/// The key package of last resort is given when there is no other, again and again, until it is replaced.
pub async fn the_last_resort_is_given_again(directory: &Arc<dyn KeyPackageDirectory>) {
    let agent = channel();
    let claim = || async { directory.claim_key_package(&agent).await.expect("claim") };
    assert_eq!(claim().await, None);
    directory.add_key_packages(&agent, vec!["one".into()], Some("last".into())).await.expect("add");
    assert_eq!(claim().await.map(|claimed| (claimed.is_last_resort, claimed.left)), Some((false, 0)));
    assert_eq!(directory.last_resort(&agent).await.expect("read"), Some("last".into()));
    for _ in 0..2 {
        let claimed = claim().await.expect("the last resort");
        assert_eq!((&claimed.key_package[..], claimed.is_last_resort), (&b"last"[..], true));
    }
    directory.add_key_packages(&agent, vec![], Some("newer".into())).await.expect("add");
    assert_eq!(claim().await.expect("the newer one").key_package, "newer");
}

/// An agent whose keys are gone takes back what it left, the key package of last resort, too; another agent's stay.
pub async fn dropped_key_packages_are_not_given(directory: &Arc<dyn KeyPackageDirectory>) {
    let (agent, other) = (channel(), channel());
    for name in [&agent, &other] {
        directory.add_key_packages(name, vec!["one".into()], Some("last".into())).await.expect("add");
    }
    directory.drop_key_packages(&agent).await.expect("drop");
    assert_eq!(directory.count_key_packages(&agent).await.expect("count"), 0);
    assert_eq!(directory.claim_key_package(&agent).await.expect("claim"), None);
    assert_eq!(directory.count_key_packages(&other).await.expect("count"), 1);
    assert_eq!(directory.add_key_packages(&agent, vec!["one".into()], None).await.expect("add"), 1);
}

/// However many Welcomes wait, each can be read: a page at a time, the oldest first.
pub async fn welcomes_are_listed_from_a_place_on(directory: &Arc<dyn KeyPackageDirectory>) {
    let (room, agent) = (channel(), channel());
    for commit in 0..5 {
        directory.deposit(attachments(&room, commit, &[&agent])).await.expect("deposit");
    }
    for (skip, expected) in [(0, &[0, 1][..]), (2, &[2, 3]), (4, &[4]), (5, &[])] {
        let page = directory.welcomes(&agent, skip, 2).await.expect("welcomes");
        let expected: Vec<_> = expected.iter().copied().map(id).collect();
        assert_eq!(page.iter().map(|deposit| deposit.commit).collect::<Vec<_>>(), expected);
    }
}

fn attachments(channel: &ChannelName, commit: u8, agents: &[&ChannelName]) -> CommitAttachments {
    let welcome = |agent: &&ChannelName| ((*agent).clone(), Bytes::from(vec![commit; 10]));
    CommitAttachments {
        channel: channel.clone(),
        commit: id(commit),
        welcomes: agents.iter().map(welcome).collect(),
        group_info: Some(vec![commit; 20].into()),
    }
}

/// A deposit that is repeated is kept once, tells whether its commit was accepted, and goes when it is dropped.
pub async fn attachments_are_kept_once_until_they_are_resolved(directory: &Arc<dyn KeyPackageDirectory>) {
    let (room, first, second) = (channel(), channel(), channel());
    for _ in 0..2 {
        directory.deposit(attachments(&room, 1, &[&first, &second])).await.expect("deposit");
    }
    let welcomes = || async { directory.welcomes(&first, 0, 10).await.expect("welcomes") };
    assert_eq!(welcomes().await.iter().map(|deposit| deposit.accepted).collect::<Vec<_>>(), [None]);
    directory.resolve(&room, id(1), Some(SequenceNumber(7))).await.expect("resolve");
    let kept = welcomes().await;
    assert_eq!((kept[0].accepted, &kept[0].channel), (Some(SequenceNumber(7)), &room));
    directory.drop_welcome(&first, id(1)).await.expect("drop");
    assert!(welcomes().await.is_empty());
    assert_eq!(directory.welcomes(&second, 0, 10).await.expect("welcomes").len(), 1, "another agent's own");
    directory.expire_deposits(SystemTime::now() + Duration::from_secs(60)).await.expect("expire");
    assert!(directory.welcomes(&second, 0, 10).await.expect("welcomes").is_empty());
    assert_eq!(directory.group_infos(&room).await.expect("infos").len(), 1, "not a Welcome");
}

/// Old GroupInfos go, but for the newest of each channel, by which its members can come back.
pub async fn old_group_infos_go_but_for_the_newest(directory: &Arc<dyn KeyPackageDirectory>) {
    let (room, other) = (channel(), channel());
    for (room, commit) in [(&room, 1), (&room, 2), (&other, 3), (&room, 4)] {
        directory.deposit(attachments(room, commit, &[])).await.expect("deposit");
    }
    for (room, commit) in [(&room, 1), (&room, 2), (&other, 3)] {
        directory.resolve(room, id(commit), Some(SequenceNumber(commit.into()))).await.expect("resolve");
    }
    let left = async |room| {
        let infos = directory.group_infos(room).await.expect("infos");
        infos.into_iter().map(|deposit| deposit.commit).collect::<Vec<_>>()
    };
    let (past, soon) = (Duration::from_secs(3_600), Duration::from_secs(60));
    directory.expire_deposits(SystemTime::now() - past).await.expect("expire");
    assert_eq!(left(&room).await, [id(4), id(2), id(1)], "they are not old");
    directory.expire_deposits(SystemTime::now() + soon).await.expect("expire");
    assert_eq!(left(&room).await, [id(4), id(2)], "the one after it is not decided");
    assert_eq!(left(&other).await, [id(3)]);
}

/// What a refused commit would have brought is gone; another commit's is not.
pub async fn a_refused_bundle_is_forgotten(directory: &Arc<dyn KeyPackageDirectory>) {
    let (room, agent) = (channel(), channel());
    directory.deposit(attachments(&room, 1, &[&agent])).await.expect("deposit");
    directory.deposit(attachments(&room, 2, &[&agent])).await.expect("deposit");
    directory.resolve(&room, id(1), None).await.expect("resolve");
    let left = directory.welcomes(&agent, 0, 10).await.expect("welcomes");
    assert_eq!(left.iter().map(|deposit| deposit.commit).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(directory.group_infos(&room).await.expect("infos").len(), 1);
}

/// The last GroupInfos of a channel's accepted commits are kept, the newest first.
pub async fn group_infos_are_listed_newest_first(directory: &Arc<dyn KeyPackageDirectory>) {
    let room = channel();
    for commit in 0..MAX_GROUP_INFOS as u8 + 3 {
        directory.deposit(attachments(&room, commit, &[])).await.expect("deposit");
        directory.resolve(&room, id(commit), Some(SequenceNumber(commit.into()))).await.expect("resolve");
    }
    let infos = directory.group_infos(&room).await.expect("infos");
    let expected: Vec<_> = (3..MAX_GROUP_INFOS as u8 + 3).rev().map(id).collect();
    assert_eq!(infos.iter().map(|deposit| deposit.commit).collect::<Vec<_>>(), expected);
}

/// However many commits race, what the accepted ones brought stays.
pub async fn commits_that_lose_push_no_group_info_out(directory: &Arc<dyn KeyPackageDirectory>) {
    let room = channel();
    let rivals = MAX_GROUP_INFOS as u8 * 3;
    for commit in 0..rivals {
        directory.deposit(attachments(&room, commit, &[])).await.expect("deposit");
    }
    assert_eq!(
        directory.group_infos(&room).await.expect("infos").len(),
        usize::from(rivals),
        "none is decided"
    );
    directory.resolve(&room, id(0), Some(SequenceNumber(1))).await.expect("resolve");
    for commit in 1..rivals {
        directory.resolve(&room, id(commit), None).await.expect("resolve");
    }
    let infos = directory.group_infos(&room).await.expect("infos");
    assert_eq!(infos.iter().map(|deposit| deposit.commit).collect::<Vec<_>>(), [id(0)]);
}
