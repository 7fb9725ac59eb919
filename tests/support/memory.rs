//! The memory of a running process, as its parent or root may read it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

/// What a process can write to and has not given back: heap, stacks, buffers.
pub(crate) struct Memory(Vec<Vec<u8>>);

impl Memory {
    /// Reads it as it is at this moment.
    pub(crate) fn of(process: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs");
        let memory = File::open(format!("/proc/{process}/mem")).expect("it may be read");
        let areas = maps.lines().filter(|line| line.contains(" rw")).map(range);
        Self(areas.filter_map(|(start, end)| read(&memory, start, end).ok()).collect())
    }

    /// Tells whether a text is anywhere in it.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.0.iter().any(|area| area.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

/// `7f0c4a000000-7f0c4a021000 rw-p 00000000 00:00 0`.
fn range(line: &str) -> (u64, u64) {
    let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
    let (start, rest) = line.split_once('-').expect("a range");
    let (end, _) = rest.split_once(' ').expect("what may be done with it");
    (address(start), address(end))
}

/// An area that was given back since it was listed is an error.
fn read(memory: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut area = vec![0; usize::try_from(end - start).expect("64 bits")];
    memory.read_exact_at(&mut area, start)?;
    Ok(area)
}
