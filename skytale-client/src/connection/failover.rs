//! Several relays that act as one: the agent is at one of them, and at another when that one cannot be reached.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rand::RngExt;

use super::trust_roots::Roots;
use super::{Link, WATCHFUL};
use crate::error::{Error, Result};

#[derive(Debug)]
pub(crate) struct Dialer {
    relays: Vec<super::Dialer>,
    /// The one that was reached last.
    current: AtomicUsize,
}

/// How much later each further relay is tried, while those before have not answered.
const HEAD_START: Duration = Duration::from_millis(500);

impl Dialer {
    /// Makes a dialer that begins with any of them, so that agents spread.
    pub fn new(addresses: &[String], roots: &Roots) -> Result<Self> {
        if addresses.is_empty() {
            return Err(Error::configuration("an agent needs the address of a relay".to_owned()));
        }
        let relays = addresses.iter().map(|address| super::Dialer::to(address, roots, Some(WATCHFUL)));
        let relays = relays.collect::<Result<Vec<_>>>()?;
        let current = AtomicUsize::new(rand::rng().random_range(0..relays.len()));
        Ok(Self { relays, current })
    }

    /// Begins with the one after a relay from now on, unless another one was reached meanwhile.
    pub fn turn_away(&self, place: usize) {
        let next = (place + 1) % self.relays.len();
        let _ = self.current.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Opens a stream to the first relay that answers.
    pub async fn open(&self, token: Option<&str>) -> Result<Link> {
        let first = self.current.load(Ordering::Relaxed);
        let places = (0..self.relays.len()).map(|step| (step, (first + step) % self.relays.len()));
        let mut attempts: FuturesUnordered<_> =
            places.map(|(step, place)| self.try_one(step as u32, place, token)).collect();
        let mut failure = None;
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok((place, link)) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(link);
                }
                // Another one would say the same.
                Err(error @ Error::NotAuthorized { .. }) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::Closed))
    }

    fn try_one<'a>(
        &'a self,
        step: u32,
        place: usize,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(usize, Link)>> {
        let attempt = async move {
            tokio::time::sleep(HEAD_START * step).await;
            let link = self.relays[place].open(token).await?;
            Ok((place, Link { place, ..link }))
        };
        attempt.boxed()
    }
}
