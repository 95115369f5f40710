//! A source that remembers how the streams ended that were read of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Block, Blocks, Ending, HistoryError, Source, StreamRef};

/// Reads from another source; what it learns of the streams' endings need not be read again.
#[derive(Debug)]
pub struct Endings<'a> {
    source: &'a dyn Source,
    known: Rc<RefCell<BTreeMap<usize, Ending>>>,
}

impl<'a> Endings<'a> {
    /// Nothing was read of `source` so far.
    pub fn of(source: &'a dyn Source) -> Self {
        Self { source, known: Rc::default() }
    }

    /// How each stream ends, by the streams' numbers; what was not read to its end is read now.
    ///
    /// # Errors
    /// When a stream cannot be read.
    pub fn all(&self) -> Result<Vec<Ending>, HistoryError> {
        let ending = |stream: StreamRef<'_>| {
            let known = self.known.borrow().get(&stream.number).cloned();
            match known {
                Some(ending) => Ok(ending),
                None => (self as &dyn Source).each(stream.number, |_| ()),
            }
        };
        self.source.streams().into_iter().map(ending).collect()
    }
}

impl Source for Endings<'_> {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        self.source.streams()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let blocks = self.source.read(number)?;
        Ok(Box::new(Remembered { blocks, number, known: Rc::clone(&self.known) }))
    }
}

struct Remembered<'a> {
    blocks: Box<dyn Blocks + 'a>,
    number: usize,
    known: Rc<RefCell<BTreeMap<usize, Ending>>>,
}

impl Blocks for Remembered<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        let block = self.blocks.next()?;
        if let Block::End(ending) = &block {
            self.known.borrow_mut().insert(self.number, ending.clone());
        }
        Ok(block)
    }
}
