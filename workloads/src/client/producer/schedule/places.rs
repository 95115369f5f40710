//! Places of arrivals at random in the row of sends.
//!
//! Of each [`BLOCK`] places, as many sends are put somewhere, each by itself: gaps between them are those of a Poisson
//! process, but every block has exactly its number, so that the rate is right and no sum of gaps has to be
//! carried along. Where a send is, is a function of the seed and its number.

use std::cell::RefCell;

use super::SECOND;
use crate::draw;

/// Sends that are put together; an arrival is at most so many intervals away from where it would be evenly.
pub(super) const BLOCK: u64 = 1024;

/// Number of a block, and the places in it from its begin, in order.
type PlacesOfBlock = (u64, Vec<u64>);

/// The places of all sends, in billionths of one.
#[derive(Debug)]
pub(super) struct Places {
    seed: u64,
    /// The two blocks that were looked at last: a schedule looks at the next send and at now.
    known: RefCell<[Option<PlacesOfBlock>; 2]>,
}

impl Places {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, known: RefCell::default() }
    }

    /// The place of send `i`.
    pub(super) fn of(&self, i: u64) -> u128 {
        let block = i / BLOCK;
        let within = self.within(block, |places| places.get((i % BLOCK) as usize).copied());
        u128::from(block) * u128::from(BLOCK) * SECOND + u128::from(within.unwrap_or_default())
    }

    /// How many are before a place.
    pub(super) fn before(&self, place: u128) -> u64 {
        let whole = u128::from(BLOCK) * SECOND;
        let (block, rest) = ((place / whole) as u64, (place % whole) as u64);
        let within = self.within(block, |places| places.partition_point(|at| *at < rest));
        block * BLOCK + within as u64
    }

    /// Looks at the places of a block, from its begin.
    fn within<T>(&self, block: u64, look: impl FnOnce(&[u64]) -> T) -> T {
        let mut known = self.known.borrow_mut();
        let slot = &mut known[(block % 2) as usize];
        match slot {
            Some((of, places)) if *of == block => look(places),
            _ => {
                let whole = u128::from(BLOCK) * SECOND;
                let place = |n| {
                    let drawn = draw::number(self.seed, block, n);
                    ((u128::from(drawn) * whole) >> 64) as u64
                };
                let mut places: Vec<u64> = (0..BLOCK).map(place).collect();
                places.sort_unstable();
                look(&slot.insert((block, places)).1)
            }
        }
    }
}
