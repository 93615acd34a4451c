use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bedstone_store::atomic::{self, AtomicFile};

use super::{Backing, CLUSTER, CLUSTER_BITS, COPIED, FORMAT, Header};
use crate::error::{Error, Result};
use crate::sparse::{data_ranges, is_zero};

/// Clusters that are read at a time.
const BATCH: u64 = 32;
/// Entries of a table that fills a cluster.
const TABLE: u64 = CLUSTER / 8;
/// Clusters that a block of 16-bit refcounts covers.
const REFCOUNTS: u64 = CLUSTER / 2;

/// Converts the raw image `source`, replacing `target` atomically. Clusters of zeros take no room, so the bytes depend
/// on the disk's content only, not on where the source has holes.
///
/// Fails when the source is no multiple of 512 bytes long.
pub fn convert(source: &Path, target: &Path) -> Result<()> {
    let input = File::open(source).map_err(Error::io("open", source))?;
    let size = input
        .metadata()
        .map_err(Error::io("inspect", source))?
        .len();
    let mut output = AtomicFile::create(target)?;
    let mut layout = Layout::new(size)?;
    let mut buffer = vec![0; (BATCH * CLUSTER) as usize];
    let mut next = 0;
    for range in data_ranges(&input, source)? {
        // Ranges that share a cluster must not give it twice.
        let mut cluster = (range.start / CLUSTER).max(next);
        let end = range.end.div_ceil(CLUSTER);
        next = next.max(end);
        while cluster < end {
            let count = BATCH.min(end - cluster);
            let start = cluster * CLUSTER;
            let length = (count * CLUSTER).min(size - start) as usize;
            input
                .read_exact_at(&mut buffer[..length], start)
                .map_err(Error::io("read", source))?;
            buffer[length..].fill(0);
            let present: Vec<u64> = buffer
                .chunks_exact(CLUSTER as usize)
                .zip(0..count)
                .filter_map(|(data, index)| (!is_zero(data)).then_some(index))
                .collect();
            // Neighbours on the disk are neighbours in the image, and written at once.
            for run in present.chunk_by(|a, b| a + 1 == *b) {
                let first = layout.place(cluster + run[0]);
                for index in &run[1..] {
                    layout.place(cluster + index);
                }
                let from = (run[0] * CLUSTER) as usize;
                let data = &buffer[from..from + run.len() * CLUSTER as usize];
                output
                    .file()
                    .write_all_at(data, first * CLUSTER)
                    .map_err(Error::io("write", target))?;
            }
            cluster += count;
        }
    }
    for (offset, bytes) in layout.pieces(None)? {
        output
            .file()
            .write_all_at(&bytes, offset)
            .map_err(Error::io("write", target))?;
    }
    Ok(output.commit()?)
}

/// Makes an overlay at `target` over `backing`, of `size` bytes as the guest sees it: what is written goes into the
/// overlay, what was not written is read from below.
pub fn overlay(target: &Path, backing: Backing, size: u64) -> Result<()> {
    let mut bytes = Vec::new();
    for (offset, piece) in Layout::new(size)?.pieces(Some(backing))? {
        bytes.resize(offset as usize, 0);
        bytes.extend(piece);
    }
    Ok(atomic::write(target, &bytes)?)
}

/// Where the clusters of the disk lie in the image.
pub(super) struct Layout {
    size: u64,
    /// For each cluster of the disk in use, ascending, its place in the image is its position here plus one.
    present: Vec<u64>,
}

impl Layout {
    pub(super) fn new(size: u64) -> Result<Self> {
        if !size.is_multiple_of(512) || size > 1 << 56 {
            let reason = format!("{size} bytes are no disk of whole sectors up to 64 PiB");
            return Err(Error::unwritable(FORMAT, "size", reason));
        }
        Ok(Self {
            size,
            present: Vec::new(),
        })
    }

    /// Gives the next cluster of the image to `cluster` of the disk.
    pub(super) fn place(&mut self, cluster: u64) -> u64 {
        self.present.push(cluster);
        self.present.len() as u64
    }

    /// Everything but the data clusters: byte offsets and bytes, ascending but for the header, which comes first.
    pub(super) fn pieces(&self, backing: Option<Backing>) -> Result<Vec<(u64, Vec<u8>)>> {
        let l2_tables: Vec<&[u64]> = self
            .present
            .chunk_by(|a, b| a / TABLE == b / TABLE)
            .collect();
        let l1_entries = self.size.div_ceil(CLUSTER * TABLE);
        let l1_clusters = l1_entries.div_ceil(TABLE).max(1);
        let l2_at = 1 + self.present.len() as u64;
        let l1_at = l2_at + l2_tables.len() as u64;
        let refcounts_at = l1_at + l1_clusters;
        // Refcounts count their own clusters too: grow until they suffice.
        let (mut blocks, mut tables) = (1, 1);
        let total = loop {
            let total = refcounts_at + blocks + tables;
            if total <= blocks * REFCOUNTS && blocks <= tables * TABLE {
                break total;
            }
            blocks = total.div_ceil(REFCOUNTS);
            tables = blocks.div_ceil(TABLE);
        };
        let table_at = refcounts_at + blocks;

        let header = Header {
            size: self.size,
            cluster_bits: CLUSTER_BITS,
            l1_table: (l1_at * CLUSTER, l1_entries as u32),
            refcount_table: (table_at * CLUSTER, tables as u32),
            backing,
        };
        let mut pieces = vec![(0, header.to_bytes()?)];
        let mut l1 = vec![0; l1_clusters as usize * TABLE as usize];
        let mut place = 1;
        for (table, at) in l2_tables.iter().zip(l2_at..) {
            l1[(table[0] / TABLE) as usize] = (at * CLUSTER) | COPIED;
            let mut l2 = vec![0; TABLE as usize];
            for cluster in *table {
                l2[(cluster % TABLE) as usize] = (place * CLUSTER) | COPIED;
                place += 1;
            }
            pieces.push((at * CLUSTER, big_endian(&l2)));
        }
        pieces.push((l1_at * CLUSTER, big_endian(&l1)));
        // Each cluster of the image is referred to once.
        let mut counts = [0, 1].repeat(total as usize);
        counts.resize((blocks * CLUSTER) as usize, 0);
        pieces.push((refcounts_at * CLUSTER, counts));
        let table: Vec<u64> = (refcounts_at..table_at)
            .map(|block| block * CLUSTER)
            .collect();
        let mut table = big_endian(&table);
        table.resize((tables * CLUSTER) as usize, 0);
        pieces.push((table_at * CLUSTER, table));
        Ok(pieces)
    }
}

fn big_endian(entries: &[u64]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|entry| entry.to_be_bytes())
        .collect()
}
