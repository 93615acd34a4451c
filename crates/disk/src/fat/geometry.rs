use super::{ENTRY, FORMAT, Kind, Options};
use crate::error::{Error, Result};
use crate::storage::{le16, le32};

const SECTOR: u64 = 512;
/// The data area begins at a multiple of this, so that whole pages of flash and page cache are files' own.
const DATA_ALIGNMENT: u64 = 4096 / SECTOR;
const ROOT_ENTRIES: u64 = 512;

/// Where things are on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) kind: Kind,
    /// Bytes of a sector.
    pub(super) sector: u64,
    pub(super) sectors_per_cluster: u64,
    /// Sectors before the first allocation table.
    pub(super) reserved: u64,
    pub(super) fats: u64,
    pub(super) fat_sectors: u64,
    /// Entries of the fixed root directory; 0 on FAT32.
    pub(super) root_entries: u64,
    /// First cluster of the root directory; 0 but on FAT32.
    pub(super) root_cluster: u32,
    pub(super) sectors: u64,
    /// Number of clusters; the first is number 2.
    pub(super) clusters: u32,
}

impl Geometry {
    /// Lays out a new volume.
    pub(super) fn choose(options: &Options) -> Result<Self> {
        let refuse = |reason: String| Err(Error::unwritable(FORMAT, "size", reason));
        let size = options.size;
        if !size.is_multiple_of(SECTOR) || size / SECTOR > u64::from(u32::MAX) {
            return refuse(format!("{size} bytes are no multiple of 512 below 2 TiB"));
        }
        let kind = options.kind.unwrap_or(match size {
            ..0x40_0000 => Kind::Fat12,
            0x40_0000..0x2000_0000 => Kind::Fat16,
            _ => Kind::Fat32,
        });
        // Counts close to the limits are kept away from: some drivers are off by up to 16 there.
        let (preferred, allowed) = match kind {
            Kind::Fat12 => (4, 1..=4068),
            Kind::Fat16 => (4, 4101..=65_508),
            Kind::Fat32 if size <= 260 << 20 => (1, 65_541..=0x0fff_fff5),
            Kind::Fat32 => (8, 65_541..=0x0fff_fff5),
        };
        let larger = (0..8)
            .map(|shift| 1_u64 << shift)
            .filter(|n| *n >= preferred);
        let smaller = (0..8)
            .rev()
            .map(|shift| 1_u64 << shift)
            .filter(|n| *n < preferred);
        larger
            .chain(smaller)
            .filter_map(|per_cluster| Self::with_clusters(kind, size / SECTOR, per_cluster))
            .find(|geometry| allowed.contains(&geometry.clusters))
            .map_or_else(|| refuse(format!("{size} bytes do not suit {kind:?}")), Ok)
    }

    fn with_clusters(kind: Kind, sectors: u64, per_cluster: u64) -> Option<Self> {
        let (bits, reserved, root_entries) = match kind {
            Kind::Fat12 => (12, 1, ROOT_ENTRIES),
            Kind::Fat16 => (16, 1, ROOT_ENTRIES),
            Kind::Fat32 => (32, 32, 0),
        };
        // Sized as if the tables took no room; the few entries too many do no harm.
        let most = (sectors / per_cluster).min(0x0fff_fff5);
        let fat_sectors = ((most + 2) * bits).div_ceil(8 * SECTOR);
        let root_sectors = root_entries * ENTRY as u64 / SECTOR;
        let used = reserved + 2 * fat_sectors + root_sectors;
        let data = used.next_multiple_of(DATA_ALIGNMENT);
        let clusters = sectors.checked_sub(data)? / per_cluster;
        Some(Self {
            kind,
            sector: SECTOR,
            sectors_per_cluster: per_cluster,
            reserved: reserved + data - used,
            fats: 2,
            fat_sectors,
            root_entries,
            root_cluster: if kind == Kind::Fat32 { 2 } else { 0 },
            sectors,
            clusters: u32::try_from(clusters).ok()?,
        })
    }

    /// The first sector of a new volume.
    pub(super) fn boot_sector(&self, options: &Options, label: &[u8; 11]) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let wide = self.kind == Kind::Fat32;
        let small = (!wide && self.sectors < 0x1_0000).then_some(self.sectors);
        put(0, &[0xeb, if wide { 0x58 } else { 0x3c }, 0x90]);
        put(3, b"BEDSTONE");
        put(11, &(SECTOR as u16).to_le_bytes());
        put(13, &[self.sectors_per_cluster as u8]);
        put(14, &(self.reserved as u16).to_le_bytes());
        put(16, &[self.fats as u8]);
        put(17, &(self.root_entries as u16).to_le_bytes());
        put(19, &(small.unwrap_or(0) as u16).to_le_bytes());
        put(21, &[0xf8]); // fixed disk
        put(24, &32_u16.to_le_bytes()); // sectors per track
        put(26, &64_u16.to_le_bytes()); // heads
        if small.is_none() {
            put(32, &(self.sectors as u32).to_le_bytes());
        }
        let extended = if wide {
            put(36, &(self.fat_sectors as u32).to_le_bytes());
            put(44, &self.root_cluster.to_le_bytes());
            put(48, &1_u16.to_le_bytes()); // FSInfo
            put(50, &6_u16.to_le_bytes()); // backup boot sector
            64
        } else {
            put(22, &(self.fat_sectors as u16).to_le_bytes());
            36
        };
        put(extended, &[0x80, 0, 0x29]);
        put(extended + 3, &options.volume_id.to_le_bytes());
        put(extended + 7, label);
        put(
            extended + 18,
            match self.kind {
                Kind::Fat12 => b"FAT12   ",
                Kind::Fat16 => b"FAT16   ",
                Kind::Fat32 => b"FAT32   ",
            },
        );
        // Started by a BIOS, it halts: hlt; jmp to the hlt.
        put(extended + 26, &[0xf4, 0xeb, 0xfd]);
        put(510, &[0x55, 0xaa]);
        bytes
    }

    /// Reads the first 512 bytes of a volume of `size` bytes.
    pub(super) fn from_boot_sector(bytes: &[u8; 512], size: u64) -> Result<Self> {
        let bad = |field, reason: &str| Err(Error::malformed(FORMAT, field, reason));
        if bytes[510..] != [0x55, 0xaa] || !matches!(bytes[0], 0xeb | 0xe9) {
            return bad("boot sector", "no FAT volume");
        }
        let sector = u64::from(le16(bytes, 11));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return bad("sector size", "not 512, 1024, 2048 or 4096");
        }
        let sectors_per_cluster = u64::from(bytes[13]);
        if !sectors_per_cluster.is_power_of_two() {
            return bad("cluster size", "not a power of two of sectors");
        }
        let (reserved, fats) = (u64::from(le16(bytes, 14)), u64::from(bytes[16]));
        if reserved == 0 || !matches!(fats, 1 | 2) {
            return bad("allocation tables", "not one or two behind a boot sector");
        }
        let root_entries = u64::from(le16(bytes, 17));
        let (fat_sectors, wide) = match le16(bytes, 22) {
            0 => (u64::from(le32(bytes, 36)), true),
            sectors => (u64::from(sectors), false),
        };
        if fat_sectors == 0 || wide != (root_entries == 0) {
            return bad("allocation tables", "neither FAT12/16 nor FAT32");
        }
        let sectors = match le16(bytes, 19) {
            0 => u64::from(le32(bytes, 32)),
            sectors => u64::from(sectors),
        };
        if sectors * sector > size {
            return bad("size", "larger than the partition");
        }
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
        let used = reserved + fats * fat_sectors + root_sectors;
        let clusters = sectors.saturating_sub(used) / sectors_per_cluster;
        let kind = match clusters {
            _ if wide => Kind::Fat32,
            ..=4084 => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let bits = match kind {
            Kind::Fat12 => 12,
            Kind::Fat16 => 16,
            Kind::Fat32 => 32,
        };
        if clusters == 0 || ((clusters + 2) * bits).div_ceil(8) > fat_sectors * sector {
            return bad("allocation tables", "do not cover the clusters");
        }
        let root_cluster = if wide {
            le32(bytes, 44) & 0x0fff_ffff
        } else {
            0
        };
        Ok(Self {
            kind,
            sector,
            sectors_per_cluster,
            reserved,
            fats,
            fat_sectors,
            root_entries,
            root_cluster,
            sectors,
            clusters: u32::try_from(clusters.min(0x0fff_fff5)).unwrap_or(u32::MAX),
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_size(&self) -> u64 {
        self.sectors_per_cluster * self.sector
    }

    /// Byte offset of the first allocation table.
    pub(super) fn fat_offset(&self) -> u64 {
        self.reserved * self.sector
    }

    /// Byte offset of the fixed root directory.
    pub(super) fn root_offset(&self) -> u64 {
        (self.reserved + self.fats * self.fat_sectors) * self.sector
    }

    /// Byte offset of cluster 2.
    pub(super) fn data_offset(&self) -> u64 {
        let root_sectors = (self.root_entries * ENTRY as u64).div_ceil(self.sector);
        self.root_offset() + root_sectors * self.sector
    }

    /// Byte offset of a cluster, which must be one of the volume's.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        self.data_offset() + u64::from(cluster - 2) * self.cluster_size()
    }

    /// Whether `cluster` is one of the volume's.
    pub(super) fn contains(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }
}
