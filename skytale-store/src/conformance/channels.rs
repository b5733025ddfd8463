//! The contract of [`ChannelRegistry`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use skytale_core::ChannelName;

use super::{channel, second, unique};
use crate::contract::channels::{ChannelEntry, ChannelRegistry, Invite, JoinRequest, NewJoinRequest, Role};

/// Runs every check of [`ChannelRegistry`].
pub async fn channels(channels: &Arc<dyn ChannelRegistry>) {
    a_channel_belongs_to_who_registers_it_first(channels).await;
    an_invite_lets_in_as_often_as_it_says(channels).await;
    a_repeated_request_uses_nothing(channels).await;
    an_invite_is_for_its_channel_and_time(channels).await;
    racing_requests_share_an_invite_fairly(channels).await;
    a_request_is_leased_to_one_at_a_time(channels).await;
    the_first_answer_stands(channels).await;
    a_member_can_be_removed_and_an_owner_not(channels).await;
    channels_are_listed_by_name(channels).await;
    old_requests_are_dropped(channels).await;
}

fn entry(name: &ChannelName, owner: &str) -> ChannelEntry {
    ChannelEntry { id: unique("channel"), name: name.clone(), owner: owner.to_owned(), created_at: second(1) }
}

fn invite(channel: &ChannelName, uses: u32) -> Invite {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut digest = [0; 32];
    let text = format!("{}{}", unique(""), NEXT.fetch_add(1, Ordering::Relaxed));
    let end = text.len().saturating_sub(32);
    digest.iter_mut().zip(text[end..].bytes()).for_each(|(to, from)| *to = from);
    Invite { digest, channel: channel.clone(), uses, expires_at: second(100) }
}

fn request(invite: &Invite, account: &str) -> NewJoinRequest {
    NewJoinRequest {
        id: unique("request"),
        channel: invite.channel.clone(),
        invite: invite.digest,
        account: account.to_owned(),
        identity: "acme/agents/bob".to_owned(),
        key_package: Bytes::from_static(b"a key package"),
        at: second(10),
    }
}

async fn registered(channels: &Arc<dyn ChannelRegistry>) -> ChannelEntry {
    let entry = entry(&channel(), &unique("owner"));
    assert_eq!(channels.register_channel(entry.clone()).await.expect("register"), entry);
    entry
}

async fn invited(channels: &Arc<dyn ChannelRegistry>, uses: u32) -> Invite {
    let invite = invite(&registered(channels).await.name, uses);
    channels.add_invite(invite.clone()).await.expect("invite");
    invite
}

/// Whoever registers a channel again learns whose it is.
pub async fn a_channel_belongs_to_who_registers_it_first(channels: &Arc<dyn ChannelRegistry>) {
    let first = registered(channels).await;
    let other = unique("other");
    for account in [&first.owner, &other] {
        let stands = channels.register_channel(entry(&first.name, account)).await.expect("register");
        assert_eq!(stands, first);
    }
    assert_eq!(channels.channel(&first.name).await.expect("find"), Some(first.clone()));
    assert_eq!(channels.channel(&channel()).await.expect("find"), None);
    assert_eq!(channels.role(&first.name, &first.owner).await.expect("role"), Some(Role::Owner));
    assert_eq!(channels.role(&first.name, &other).await.expect("role"), None);
    let members = channels.members(&first.name).await.expect("members");
    assert_eq!(
        members.iter().map(|member| (&member.account, member.role)).collect::<Vec<_>>(),
        [(&first.owner, Role::Owner)]
    );
}

/// Each use of an invite lets one account in, and then there is no other.
pub async fn an_invite_lets_in_as_often_as_it_says(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 2).await;
    let accounts = [unique("a"), unique("b"), unique("c")];
    let mut joined = Vec::new();
    for account in &accounts {
        joined.push(channels.join(request(&invite, account)).await.expect("join"));
    }
    assert_eq!(joined, [true, true, false]);
    for (account, joined) in accounts.iter().zip(joined) {
        let role = channels.role(&invite.channel, account).await.expect("role");
        assert_eq!(role, joined.then_some(Role::Member));
    }
}

/// A request that is made again lets in once, also when the invite is used up meanwhile.
pub async fn a_repeated_request_uses_nothing(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 1).await;
    let wanted = request(&invite, &unique("account"));
    for _ in 0..3 {
        assert!(channels.join(wanted.clone()).await.expect("join"));
    }
    let leased = channels.lease_requests(&invite.channel, second(20), second(30), 10).await.expect("lease");
    assert_eq!(leased.len(), 1);
}

/// An invite does not open another channel, and nothing once it has expired; a refusal leaves nothing behind.
pub async fn an_invite_is_for_its_channel_and_time(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 5).await;
    let elsewhere = registered(channels).await.name;
    let account = unique("account");
    let wrong = NewJoinRequest { channel: elsewhere.clone(), ..request(&invite, &account) };
    let late = NewJoinRequest { at: second(100), ..request(&invite, &account) };
    let unknown = NewJoinRequest { invite: [255; 32], ..request(&invite, &account) };
    for refused in [wrong, late, unknown] {
        let (id, channel) = (refused.id.clone(), refused.channel.clone());
        assert!(!channels.join(refused).await.expect("join"));
        assert_eq!(channels.request(&id).await.expect("find"), None);
        assert_eq!(channels.role(&channel, &account).await.expect("role"), None);
    }
}

/// However many use an invite at once, as many get in as it says.
pub async fn racing_requests_share_an_invite_fairly(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 5).await;
    let joins = (0..20).map(|_| channels.join(request(&invite, &unique("account"))));
    let joined = futures::future::join_all(joins).await;
    assert_eq!(joined.into_iter().filter(|joined| *joined.as_ref().expect("join")).count(), 5);
    assert_eq!(channels.members(&invite.channel).await.expect("members").len(), 6);
}

/// Who asks for requests has them alone until the lease ends; the oldest come first.
pub async fn a_request_is_leased_to_one_at_a_time(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 3).await;
    let mut ids = Vec::new();
    for account in ["a", "b", "c"] {
        let wanted = request(&invite, &unique(account));
        ids.push(wanted.id.clone());
        assert!(channels.join(wanted).await.expect("join"));
    }
    let lease = async |now, most| {
        let leased = channels.lease_requests(&invite.channel, second(now), second(now + 10), most).await;
        leased.expect("lease").into_iter().map(|request: JoinRequest| request.id).collect::<Vec<_>>()
    };
    assert_eq!(lease(20, 2).await, ids[..2]);
    assert_eq!(lease(21, 9).await, ids[2..]);
    assert!(lease(22, 9).await.is_empty());
    assert_eq!(lease(30, 9).await, ids[..2]);
    assert!(lease(30, 0).await.is_empty());
    let race = (0..8).map(|_| channels.lease_requests(&invite.channel, second(90), second(95), 1));
    let leased = futures::future::join_all(race).await;
    let mut leased: Vec<_> =
        leased.into_iter().flat_map(|leased| leased.expect("lease")).map(|request| request.id).collect();
    leased.sort();
    leased.dedup();
    assert!(leased.len() <= 3, "{leased:?}");
}

/// A request has one Welcome, the first; one that is answered is not leased again.
pub async fn the_first_answer_stands(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 1).await;
    let wanted = request(&invite, &unique("account"));
    assert!(channels.join(wanted.clone()).await.expect("join"));
    let asked = channels.request(&wanted.id).await.expect("find").expect("kept");
    let kept = (asked.channel, asked.account, asked.identity, asked.key_package, asked.welcome);
    assert_eq!(kept, (wanted.channel, wanted.account, wanted.identity, wanted.key_package, None));
    for answer in ["one", "two"] {
        let stands = channels.answer_request(&wanted.id, answer.into()).await.expect("answer");
        assert_eq!(stands.as_deref(), Some(&b"one"[..]));
    }
    let leased = channels.lease_requests(&invite.channel, second(50), second(60), 9).await.expect("lease");
    assert!(leased.is_empty());
    assert_eq!(channels.answer_request(&unique("none"), "x".into()).await.expect("answer"), None);
    assert!(channels.drop_request(&wanted.id).await.expect("drop"));
    assert!(!channels.drop_request(&wanted.id).await.expect("drop"));
}

/// A member that was removed is nothing to the channel any more.
pub async fn a_member_can_be_removed_and_an_owner_not(channels: &Arc<dyn ChannelRegistry>) {
    let entry = registered(channels).await;
    let invite = invite(&entry.name, 1);
    channels.add_invite(invite.clone()).await.expect("invite");
    let account = unique("account");
    assert!(channels.join(request(&invite, &account)).await.expect("join"));
    assert!(channels.remove_member(&entry.name, &account).await.expect("remove"));
    assert!(!channels.remove_member(&entry.name, &account).await.expect("remove"));
    assert_eq!(channels.role(&entry.name, &account).await.expect("role"), None);
    assert!(!channels.remove_member(&entry.name, &entry.owner).await.expect("remove"));
    assert_eq!(channels.role(&entry.name, &entry.owner).await.expect("role"), Some(Role::Owner));
}

/// An account's channels are listed in the order of their bytes, a page at a time.
pub async fn channels_are_listed_by_name(channels: &Arc<dyn ChannelRegistry>) {
    let (owner, run) = (unique("owner"), unique("run"));
    let mut names: Vec<_> = ["b", "A", "c", "B-"].map(|end| format!("conformance/{run}/{end}")).into();
    for name in &names {
        let name = ChannelName::parse(name).expect("a name");
        channels.register_channel(entry(&name, &owner)).await.expect("register");
    }
    names.sort();
    let list = async |after: &str, most| {
        let listed = channels.channels_of(&owner, after, most).await.expect("list");
        listed.into_iter().map(|(entry, _)| entry.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("", 10).await, names);
    assert_eq!(list(&names[1], 2).await, names[2..4]);
    assert!(list(&names[3], 10).await.is_empty());
}

/// Requests and invites of before a time are dropped.
pub async fn old_requests_are_dropped(channels: &Arc<dyn ChannelRegistry>) {
    let invite = invited(channels, 2).await;
    let old = NewJoinRequest { at: second(5), ..request(&invite, &unique("account")) };
    let new = request(&invite, &unique("account"));
    for wanted in [&old, &new] {
        assert!(channels.join(wanted.clone()).await.expect("join"));
    }
    assert!(channels.expire_requests(second(10)).await.expect("expire") >= 1);
    assert_eq!(channels.request(&old.id).await.expect("find"), None);
    assert!(channels.request(&new.id).await.expect("find").is_some());
}
