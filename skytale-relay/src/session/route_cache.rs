//! The cache of the last channels that a session published to, with its permissions there.

use std::sync::Arc;

use skytale_core::{Envelope, Publish, Verb};

use super::context::Context;
use crate::channel::Channel;
use crate::close_reason::CloseReason;

/// A session's ways to its last channels.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    routes: Vec<Route>,
    /// Which one makes room for another.
    next: usize,
}

#[derive(Debug)]
struct Route {
    components: [u64; 3],
    channel: Arc<Channel>,
    publish: bool,
    commit: bool,
    join: bool,
}

/// How many channels a session remembers its way to.
const ROUTES: usize = 16;

impl RouteCache {
    /// Finds the channel of a message and checks what the principal may do there.
    pub async fn find(
        &mut self,
        context: &Context,
        envelope: &Envelope,
        publish: &Publish,
        verb: Verb,
    ) -> Result<Arc<Channel>, CloseReason> {
        let components = publish.header.destination.name.components;
        let index = match self.routes.iter().position(|route| route.components == components) {
            Some(index) => index,
            None => self.add(context, envelope, publish).await,
        };
        let route = &self.routes[index];
        if route.permits(verb) {
            return Ok(route.channel.clone());
        }
        Err(CloseReason::Forbidden { verb, channel: envelope.channel(&publish.header.destination) })
    }

    async fn add(&mut self, context: &Context, envelope: &Envelope, publish: &Publish) -> usize {
        let name = envelope.channel(&publish.header.destination);
        let route = Route {
            components: name.components(),
            publish: context.may(Verb::Publish, &name).await,
            commit: context.may(Verb::Commit, &name).await,
            join: context.may(Verb::Join, &name).await,
            channel: context.relay.registry.open(&name),
        };
        if self.routes.len() < ROUTES {
            self.routes.push(route);
            return self.routes.len() - 1;
        }
        let index = self.next % ROUTES;
        self.next += 1;
        let old = std::mem::replace(&mut self.routes[index], route);
        context.relay.registry.close(old.channel);
        index
    }

    /// Forgets all of them.
    pub fn forget(&mut self, context: &Context) {
        for route in self.routes.drain(..) {
            context.relay.registry.close(route.channel);
        }
    }
}

impl Route {
    fn permits(&self, verb: Verb) -> bool {
        match verb {
            Verb::Commit => self.commit,
            Verb::Join => self.join,
            _ => self.publish,
        }
    }
}
