//! The contract of [`Accounts`].

use std::sync::Arc;
use std::time::Duration;

use super::{second, unique};
use crate::contract::accounts::{Account, Accounts, ApiKey, Revocation, Revoked};

/// Runs every check of [`Accounts`].
pub async fn accounts(accounts: &Arc<dyn Accounts>) {
    an_account_comes_with_its_first_key(accounts).await;
    keys_are_listed_newest_first(accounts).await;
    a_key_is_revoked_once_by_its_account(accounts).await;
    a_closed_account_takes_its_keys_along(accounts).await;
    what_is_not_there_is_not_changed(accounts).await;
    revocations_are_told_from_a_time_on(accounts).await;
}

fn account() -> Account {
    let id = unique("account");
    let (email, name, plan) = (format!("{id}@example.org"), "Ada".to_owned(), "free".to_owned());
    Account { id, email, name, plan, created_at: second(1) }
}

fn key(account: &str) -> ApiKey {
    let id = unique("key");
    ApiKey {
        prefix: format!("sk_live_{}", &id[..4]),
        id,
        account: account.to_owned(),
        name: "default".to_owned(),
        digest: [7; 32],
        scopes: None,
        created_at: second(2),
        expires_at: None,
        last_used_at: None,
    }
}

async fn created(accounts: &Arc<dyn Accounts>) -> (Account, ApiKey) {
    let account = account();
    let key = key(&account.id);
    accounts.create_account(account.clone(), key.clone()).await.expect("create");
    (account, key)
}

/// Account and key come back as they were, and two accounts may have the same address.
pub async fn an_account_comes_with_its_first_key(accounts: &Arc<dyn Accounts>) {
    let (one, one_key) = created(accounts).await;
    assert_eq!(accounts.account(&one.id).await.expect("find"), Some(one.clone()));
    assert_eq!(accounts.key(&one_key.id).await.expect("find"), Some(one_key.clone()));
    let two = Account { email: one.email.clone(), ..account() };
    accounts.create_account(two.clone(), key(&two.id)).await.expect("create");
    assert_eq!(accounts.account(&two.id).await.expect("find"), Some(two.clone()));
    assert!(accounts.rename_account(&one.id, "Grace").await.expect("rename"));
    assert!(accounts.set_plan(&one.id, "pro").await.expect("plan"));
    let changed = Account { name: "Grace".into(), plan: "pro".into(), ..one };
    assert_eq!(accounts.account(&changed.id).await.expect("find"), Some(changed));
}

/// Keys are listed in the opposite order of their making, each with all that is known of it.
pub async fn keys_are_listed_newest_first(accounts: &Arc<dyn Accounts>) {
    let (account, first) = created(accounts).await;
    let scopes = Some(r#"[{"channels":"org/**","verbs":["publish"]}]"#.to_owned());
    let second_key = ApiKey { expires_at: Some(second(90)), scopes, ..key(&account.id) };
    assert!(accounts.add_key(second_key.clone()).await.expect("add"));
    accounts.use_key(&first.id, second(50)).await.expect("use");
    let first = ApiKey { last_used_at: Some(second(50)), ..first };
    assert_eq!(accounts.keys(&account.id).await.expect("list"), [second_key, first]);
}

/// Only its account can revoke a key, or set when it expires, and only as long as it is not revoked.
pub async fn a_key_is_revoked_once_by_its_account(accounts: &Arc<dyn Accounts>) {
    let ((account, key), (other, _)) = (created(accounts).await, created(accounts).await);
    assert!(!accounts.revoke_key(&other.id, &key.id).await.expect("revoke"));
    assert!(!accounts.expire_key(&other.id, &key.id, second(3)).await.expect("expire"));
    assert!(accounts.expire_key(&account.id, &key.id, second(4)).await.expect("expire"));
    let found = accounts.key(&key.id).await.expect("find").expect("still there");
    assert_eq!(found.expires_at, Some(second(4)));
    assert!(accounts.revoke_key(&account.id, &key.id).await.expect("revoke"));
    assert!(!accounts.revoke_key(&account.id, &key.id).await.expect("revoke"));
    assert!(!accounts.expire_key(&account.id, &key.id, second(5)).await.expect("expire"));
    assert_eq!(accounts.key(&key.id).await.expect("find"), None);
    assert!(accounts.keys(&account.id).await.expect("list").is_empty());
}

/// With an account its keys are gone, and it takes no others.
pub async fn a_closed_account_takes_its_keys_along(accounts: &Arc<dyn Accounts>) {
    let (account, first) = created(accounts).await;
    assert!(accounts.close_account(&account.id).await.expect("close"));
    assert!(!accounts.close_account(&account.id).await.expect("close"));
    assert_eq!(accounts.account(&account.id).await.expect("find"), None);
    assert_eq!(accounts.key(&first.id).await.expect("find"), None);
    assert!(!accounts.add_key(key(&account.id)).await.expect("add"));
    assert!(!accounts.rename_account(&account.id, "back").await.expect("rename"));
    assert!(accounts.keys(&account.id).await.expect("list").is_empty());
}

/// Nothing is made of what is not there.
pub async fn what_is_not_there_is_not_changed(accounts: &Arc<dyn Accounts>) {
    let nobody = unique("nobody");
    assert_eq!(accounts.account(&nobody).await.expect("find"), None);
    assert_eq!(accounts.key(&nobody).await.expect("find"), None);
    assert!(!accounts.add_key(key(&nobody)).await.expect("add"));
    assert!(!accounts.set_plan(&nobody, "pro").await.expect("plan"));
    accounts.use_key(&nobody, second(1)).await.expect("use");
}

/// Each subject has one revocation, the latest.
pub async fn revocations_are_told_from_a_time_on(accounts: &Arc<dyn Accounts>) {
    // Far enough ahead that the relays of other checks do not care.
    let base = second(4_000_000_000) + Duration::from_millis(u64::from(std::process::id()));
    let later = |seconds| base + Duration::from_secs(seconds);
    let (key, account, token) = (unique("key"), unique("account"), unique("token"));
    let revoke = async |subject: &Revoked, at| {
        accounts.revoke(Revocation { subject: subject.clone(), at }).await.expect("revoke");
    };
    let (key, account, token) = (Revoked::Key(key), Revoked::Account(account), Revoked::Token(token));
    revoke(&key, later(1)).await;
    revoke(&account, later(2)).await;
    revoke(&key, later(5)).await;
    revoke(&key, later(3)).await;
    revoke(&token, later(4)).await;
    assert_eq!(accounts.revocation(&key).await.expect("find"), Some(later(5)));
    assert_eq!(accounts.revocation(&Revoked::Key(unique("none"))).await.expect("find"), None);
    let told = accounts.revocations(later(2)).await.expect("list");
    for (subject, at) in [(&key, later(5)), (&account, later(2)), (&token, later(4))] {
        let found: Vec<_> = told.iter().filter(|revocation| revocation.subject == *subject).collect();
        assert_eq!(found.iter().map(|revocation| revocation.at).collect::<Vec<_>>(), [at]);
    }
    let told = accounts.revocations(later(3)).await.expect("list");
    assert!(told.iter().all(|revocation| revocation.subject != account));
    assert!(accounts.forget_revocations(later(3)).await.expect("forget") >= 1);
    let told = accounts.revocations(later(0)).await.expect("list");
    assert!(told.iter().all(|revocation| revocation.subject != account));
    assert!(told.iter().any(|revocation| revocation.subject == key));
}
