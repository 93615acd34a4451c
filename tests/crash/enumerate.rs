//! Every state that a power cut can leave, and what becomes of the machine then.

use std::fmt;
use std::io;

use bedstone_disk::bgenv::Loader;
use bedstone_disk::fat::Volume;
use bedstone_disk::model::{self, Disk, Outcome};
use bedstone_disk::storage::{ReadAt, WriteAt};
use bedstone_store::Digest;

use super::disk::{Log, Operation, command_line};
use super::product::Release;

/// What a disk changes at once.
const SECTOR: usize = 512;
/// Starts after which a machine must have settled for a slot.
const STARTS: usize = 6;
/// Random orders that are tried for what was written between two flushes.
const SHUFFLES: u64 = 200;
/// Writes to the file system's metadata and the environment are torn at every one of these bytes.
const TEARS: [usize; 8] = [1, 2, 63, 255, 256, 257, 509, 511];

/// Which systems a machine may come up with.
#[derive(Debug)]
pub struct Allowed<'a> {
    from: &'a Release,
    to: Option<&'a Release>,
}

impl<'a> Allowed<'a> {
    /// The one that was confirmed before.
    pub fn from(release: &'a Release) -> Self {
        Self {
            from: release,
            to: None,
        }
    }

    /// And the new one, complete.
    #[must_use]
    pub fn to(self, release: &'a Release) -> Self {
        Self {
            to: Some(release),
            ..self
        }
    }

    fn has(&self, hash: &Digest) -> bool {
        self.from.root_hash == *hash || self.to.is_some_and(|to| to.root_hash == *hash)
    }
}

/// How many states were looked at, and how they ended.
#[derive(Debug, Default)]
pub struct Report {
    operations: Vec<(String, usize, usize)>,
    prefixes: usize,
    torn: usize,
    reordered: usize,
    starts: usize,
    /// States in which the machine does not come up with an allowed, complete system.
    pub bricked: usize,
    first: Option<String>,
}

impl Report {
    /// How many states were looked at.
    pub fn states(&self) -> usize {
        self.prefixes + self.torn + self.reordered
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} crash states: {} prefixes, {} torn sectors, {} reorderings; {} simulated starts; {} unbootable",
            self.states(),
            self.prefixes,
            self.torn,
            self.reordered,
            self.starts,
            self.bricked
        )?;
        for (name, sectors, flushes) in &self.operations {
            writeln!(f, "  {name}: {sectors} sectors written, {flushes} flushes")?;
        }
        match &self.first {
            Some(first) => writeln!(f, "  first: {first}"),
            None => Ok(()),
        }
    }
}

/// A sector write.
#[derive(Debug)]
pub struct Write {
    /// Offset on the disk.
    pub at: usize,
    /// What is written there.
    pub bytes: Vec<u8>,
}

/// Replays a log with a power cut at every place.
pub fn examine(report: &mut Report, name: &str, log: &Log, allowed: &Allowed<'_>) {
    let epochs = epochs(&log.operations);
    let sectors = epochs.iter().map(Vec::len).sum();
    report
        .operations
        .push((name.to_owned(), sectors, epochs.len() - 1));
    let mut disk = log.before.clone();
    let look = |report: &mut Report, disk: &mut Vec<u8>, place: &dyn fmt::Display| {
        if let Err(reason) = settles(disk, allowed, &mut report.starts) {
            report.bricked += 1;
            report
                .first
                .get_or_insert_with(|| format!("{name}, {place}: {reason}"));
        }
    };
    for (number, epoch) in epochs.iter().enumerate() {
        let before = disk.clone();
        // In the order in which they were written, each sector whole or torn.
        for (index, write) in epoch.iter().enumerate() {
            let old = disk[write.at..write.at + write.bytes.len()].to_vec();
            if epoch.len() < 1000 {
                for tear in TEARS.into_iter().filter(|tear| *tear < write.bytes.len()) {
                    disk[write.at..write.at + tear].copy_from_slice(&write.bytes[..tear]);
                    report.torn += 1;
                    look(
                        report,
                        &mut disk,
                        &format_args!("epoch {number}, sector {index} torn after {tear} bytes"),
                    );
                    disk[write.at..write.at + old.len()].copy_from_slice(&old);
                }
            }
            disk[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
            report.prefixes += 1;
            look(
                report,
                &mut disk,
                &format_args!("epoch {number}, after sector {index}"),
            );
        }
        let after = disk.clone();
        // In any order: one alone, all but one, and random halves.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ number as u64;
        let singles = epoch.len().min(400);
        for case in 0..2 * singles
            + if epoch.len() > 1 {
                SHUFFLES as usize
            } else {
                0
            }
        {
            let mut state = before.clone();
            for (index, write) in epoch.iter().enumerate() {
                // Small epochs are covered whole, of large ones sectors spread over them.
                let pick = |case: usize| case * epoch.len() / singles.max(1);
                let written = match case {
                    case if case < singles => index == pick(case),
                    case if case < 2 * singles => index != pick(case - singles),
                    _ => {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        random & 1 == 1
                    }
                };
                if written {
                    state[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
                }
            }
            report.reordered += 1;
            look(
                report,
                &mut state,
                &format_args!("epoch {number}, order {case}"),
            );
        }
        disk = after;
    }
}

/// The sector writes between flushes.
pub fn epochs(operations: &[Operation]) -> Vec<Vec<Write>> {
    let mut epochs = vec![Vec::new()];
    for operation in operations {
        match operation {
            Operation::Flush => epochs.push(Vec::new()),
            Operation::Write(offset, bytes) => {
                let sectors = bytes.chunks(SECTOR).enumerate().map(|(index, part)| Write {
                    at: *offset as usize + index * SECTOR,
                    bytes: part.to_vec(),
                });
                epochs.last_mut().expect("one epoch").extend(sectors);
            }
        }
    }
    epochs
}

/// A disk that is looked at without being copied.
#[derive(Debug)]
pub struct View<'a>(pub &'a [u8]);

impl ReadAt for View<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

/// Starts the machine until the boot loader changes nothing any more; every start must bring a complete, allowed system up.
/// Nobody confirms, so a new system ends where it came from. The disk is left as it was.
fn settles(disk: &[u8], allowed: &Allowed<'_>, starts: &mut usize) -> Result<(), String> {
    let mut changed: Option<Vec<u8>> = None;
    for _ in 0..STARTS {
        *starts += 1;
        let bytes = changed.as_deref().unwrap_or(disk);
        let view = Disk::new(View(bytes)).map_err(|error| error.to_string())?;
        let verdict = model::judge(&view, Loader::Since0_20, command_line)
            .map_err(|error| error.to_string())?;
        let Outcome::Boots(arguments) = &verdict.outcome else {
            return Err(format!("{:?}", verdict.outcome));
        };
        if !allowed.has(&arguments.hash) {
            return Err(format!("slot {:?} starts another system", verdict.slot));
        }
        let mut writes = Vec::new();
        for (volume, environment) in &verdict.decision.writes {
            let name = &verdict.volumes[*volume];
            let partition = view
                .table()
                .partition(name)
                .map_err(|error| error.to_string())?;
            let window = view.window(partition);
            let sectors = Volume::open(&window)
                .and_then(|volume| volume.replace("BGENV.DAT", environment))
                .map_err(|error| error.to_string())?;
            writes.extend(
                sectors
                    .into_iter()
                    .map(|write| (partition.start + write.offset, write.bytes)),
            );
        }
        if writes.is_empty() {
            return Ok(());
        }
        let next = changed.get_or_insert_with(|| disk.to_vec());
        for (offset, bytes) in writes {
            next.write_all_at(&bytes, offset)
                .map_err(|error| error.to_string())?;
        }
    }
    Err("it never settles".to_owned())
}
