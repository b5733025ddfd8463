//! The contract of [`AgentRegistry`].

use std::sync::Arc;

use super::{second, unique};
use crate::contract::agents::{Agent, AgentQuery, AgentRegistry};

/// Runs every check of [`AgentRegistry`].
pub async fn agents(agents: &Arc<dyn AgentRegistry>) {
    an_agent_comes_back_as_it_was(agents).await;
    a_did_belongs_to_one_account(agents).await;
    agents_are_found_by_what_they_can_do(agents).await;
    an_agent_that_was_deactivated_is_not_found(agents).await;
}

fn agent(did: &str, account: &str) -> Agent {
    Agent {
        did: did.to_owned(),
        account: account.to_owned(),
        display_name: Some("Ada's agent".into()),
        capabilities: vec!["search".into(), "plan_100%".into()],
        endpoint: None,
        metadata: Some(r#"{"a": ["b"]}"#.into()),
        created_at: second(1),
        updated_at: second(2),
    }
}

/// What was put is returned; what is put again keeps the time it was added.
pub async fn an_agent_comes_back_as_it_was(agents: &Arc<dyn AgentRegistry>) {
    let first = agent(&unique("did:web:one"), &unique("account"));
    assert!(agents.put_agent(first.clone()).await.expect("put"));
    assert_eq!(agents.agent(&first.did).await.expect("find"), Some(first.clone()));
    let changed = Agent { display_name: None, created_at: second(7), updated_at: second(8), ..first.clone() };
    assert!(agents.put_agent(changed.clone()).await.expect("put"));
    let kept = Agent { created_at: first.created_at, ..changed };
    assert_eq!(agents.agent(&first.did).await.expect("find"), Some(kept));
}

/// Nobody else can replace or deactivate an agent, also one that was deactivated.
pub async fn a_did_belongs_to_one_account(agents: &Arc<dyn AgentRegistry>) {
    let (mine, other) = (agent(&unique("did:web:mine"), &unique("account")), unique("account"));
    assert!(agents.put_agent(mine.clone()).await.expect("put"));
    assert!(!agents.put_agent(agent(&mine.did, &other)).await.expect("put"));
    assert!(!agents.deactivate_agent(&other, &mine.did).await.expect("deactivate"));
    assert_eq!(agents.agent(&mine.did).await.expect("find"), Some(mine.clone()));
    assert!(agents.deactivate_agent(&mine.account, &mine.did).await.expect("deactivate"));
    assert!(!agents.put_agent(agent(&mine.did, &other)).await.expect("put"));
}

/// Agents are listed by DID, by whole words of what they can do, a page at a time.
pub async fn agents_are_found_by_what_they_can_do(agents: &Arc<dyn AgentRegistry>) {
    let (account, skill) = (unique("account"), unique("skill"));
    let mut dids: Vec<_> = (0..5).map(|number| unique(&format!("did:web:{number}"))).collect();
    dids.sort();
    for did in &dids {
        let able = Agent { capabilities: vec!["x".into(), skill.clone()], ..agent(did, &account) };
        assert!(agents.put_agent(able).await.expect("put"));
    }
    let list = |capability: &str, limit, offset| {
        let wanted = AgentQuery { capability: Some(capability.to_owned()), did: None, limit, offset };
        async move {
            let found = agents.agents(wanted).await.expect("list");
            found.into_iter().map(|agent| agent.did).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(&skill, 10, 0).await, dids);
    assert_eq!(list(&skill, 2, 1).await, dids[1..3]);
    assert!(list(&skill[..skill.len() - 1], 10, 0).await.is_empty());
    let one = AgentQuery { did: Some(dids[3].clone()), limit: 10, ..AgentQuery::default() };
    assert_eq!(agents.agents(one).await.expect("list").len(), 1);
}

/// An agent that was deactivated comes back only when it is put again.
pub async fn an_agent_that_was_deactivated_is_not_found(agents: &Arc<dyn AgentRegistry>) {
    let gone = agent(&unique("did:web:gone"), &unique("account"));
    agents.put_agent(gone.clone()).await.expect("put");
    assert!(agents.deactivate_agent(&gone.account, &gone.did).await.expect("deactivate"));
    assert!(!agents.deactivate_agent(&gone.account, &gone.did).await.expect("deactivate"));
    assert_eq!(agents.agent(&gone.did).await.expect("find"), None);
    assert!(agents.put_agent(gone.clone()).await.expect("put"));
    assert_eq!(agents.agent(&gone.did).await.expect("find"), Some(gone));
}
