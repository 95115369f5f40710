//! A history in memory: for tests and fixtures, and for sources that cannot be read block by block.

use std::path::Path;

use super::{Block, Blocks, Ending, Entry, Files, HistoryError, Source, StreamHeader, StreamRef};

/// Everything that the clients of one trial saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The streams, by name.
    pub streams: Vec<Stream>,
}

/// What one client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Name of the stream: its file's, without `.kbh`.
    pub name: String,
    /// Who wrote it.
    pub header: StreamHeader,
    /// What it saw, in its order.
    pub entries: Vec<Entry>,
    /// Whether that is all.
    pub ending: Ending,
}

impl History {
    /// Reads every stream (`*.kbh`) of the directory `dir`.
    pub fn load(dir: &Path) -> Result<Self, HistoryError> {
        Self::collect(&Files::open(dir)?)
    }

    /// Reads every stream of `source`.
    pub fn collect(source: &dyn Source) -> Result<Self, HistoryError> {
        let stream = |stream: StreamRef<'_>| {
            let mut entries = Vec::new();
            let ending = source.each(stream.number, |entry| entries.push(entry.clone()))?;
            entries.shrink_to_fit();
            let (name, header) = (stream.name.to_owned(), stream.header.clone());
            Ok(Stream { name, header, entries, ending })
        };
        let streams = source.streams().into_iter().map(stream).collect::<Result<_, _>>()?;
        Ok(Self { streams })
    }

    /// The streams with these names may just stop, at the size that they had when their clients were
    /// killed on purpose: what is missing now that was there then is damage.
    pub fn killed<'a>(&mut self, clients: impl IntoIterator<Item = (&'a str, u64)>) {
        for (name, bytes) in clients {
            for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
                stream.ending = stream.ending.clone().of_killed(Some(bytes));
            }
        }
    }
}

impl Stream {
    /// Whether the stream was read to its end mark.
    pub fn is_complete(&self) -> bool {
        self.ending == Ending::Complete
    }
}

impl Source for History {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        let streams = self.streams.iter().enumerate();
        streams
            .map(|(number, Stream { name, header, .. })| StreamRef { number, name, header })
            .collect()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let stream = &self.streams[number];
        Ok(Box::new(StreamRest { entries: &stream.entries, ending: &stream.ending }))
    }
}

/// What is left of a stream in memory.
struct StreamRest<'a> {
    entries: &'a [Entry],
    ending: &'a Ending,
}

impl Blocks for StreamRest<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        if self.entries.is_empty() {
            return Ok(Block::End(self.ending.clone()));
        }
        Ok(Block::Entries(std::mem::take(&mut self.entries)))
    }
}
