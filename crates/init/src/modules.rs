use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use bedstone_sys::machine;

use crate::console::Console;
use crate::error::{Error, Result};

/// Where the image's builder put the modules, and the file that lists them.
const DIRECTORY: &str = "/lib/modules";
const LIST: &str = "load";
/// Checking signatures and linking keep a processor busy; more than this many gain nothing with so few modules.
const MOST_THREADS: usize = 4;

/// Loads every module of the initramfs, several at a time.
///
/// One that this machine does not take (`ENODEV`: no such processor feature or device) or that fails otherwise is told
/// and passed over: whether it was needed shows soon after, with a better reason than could be given here.
pub(crate) fn load(console: &Console) -> Result<()> {
    let list = Path::new(DIRECTORY).join(LIST);
    let text = match fs::read_to_string(&list) {
        Ok(text) => text,
        // A kernel with everything built in needs none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", &list)(error)),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    in_order(&parse(&text), threads.min(MOST_THREADS), |name| {
        let path = Path::new(DIRECTORY).join(format!("{name}.ko"));
        let loaded = File::open(&path).and_then(|file| machine::load_module(&file, ""));
        let absent = rustix::io::Errno::NODEV.raw_os_error();
        match loaded {
            Err(error) if error.raw_os_error() != Some(absent) => {
                console.warn(format!("kernel module {name}: {error}"));
            }
            _ => {}
        }
    });
    Ok(())
}

/// A module and the positions in the list of those that must be loaded before.
type Entry<'a> = (&'a str, Vec<usize>);

/// Reads the list: on each line a module's name, then the names of the modules above it that it needs.
fn parse(text: &str) -> Vec<Entry<'_>> {
    let mut positions = BTreeMap::new();
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else {
            continue;
        };
        let needs = words.filter_map(|need| positions.get(need).copied());
        let needs: Vec<usize> = needs.collect();
        positions.insert(name, entries.len());
        entries.push((name, needs));
    }
    entries
}

/// Calls `load` once for each entry, after it has returned for all that the entry needs.
fn in_order(entries: &[Entry<'_>], threads: usize, load: impl Fn(&str) + Sync) {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![false; entries.len()]);
    let changed = Condvar::new();
    let work = || {
        while let Some((position, (name, needs))) = {
            let position = next.fetch_add(1, Ordering::Relaxed);
            entries.get(position).map(|entry| (position, entry))
        } {
            // An entry needs earlier ones only, and those are taken by a thread already, so this wait ends.
            let finished = done.lock().unwrap_or_else(PoisonError::into_inner);
            let finished =
                changed.wait_while(finished, |done| needs.iter().any(|need| !done[*need]));
            drop(finished);
            load(name);
            done.lock().unwrap_or_else(PoisonError::into_inner)[position] = true;
            changed.notify_all();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_list() {
        let entries = parse("a\nb a\n\nc later b unknown a\nlater\n");
        assert_eq!(
            entries,
            [
                ("a", vec![]),
                ("b", vec![0]),
                ("c", vec![1, 0]),
                ("later", vec![])
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_once_and_after_what_it_needs(
            needs in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..30),
            threads in 1_usize..5,
        ) {
            let names: Vec<String> = (0..needs.len()).map(|number| format!("m{number}")).collect();
            let entries: Vec<Entry<'_>> = names
                .iter()
                .zip(&needs)
                .enumerate()
                .map(|(position, (name, needs))| {
                    let needs = needs.iter().filter(|_| position > 0);
                    (name.as_str(), needs.map(|need| need.index(position)).collect())
                })
                .collect();
            let log = Mutex::new(Vec::new());
            in_order(&entries, threads, |name| log.lock().unwrap().push(name.to_owned()));
            let log = log.into_inner().unwrap();
            prop_assert_eq!(log.len(), entries.len());
            let place = |name: &str| log.iter().position(|logged| logged == name).unwrap();
            for (name, needs) in &entries {
                prop_assert!(needs.iter().all(|need| place(entries[*need].0) < place(name)));
            }
        }

        #[test]
        fn lists_never_panic(text: String) {
            let entries = parse(&text);
            prop_assert!(entries.iter().enumerate().all(|(position, (_, needs))| needs.iter().all(|need| *need < position)));
        }
    }
}
