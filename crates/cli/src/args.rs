//! What can be typed: the one source of help texts, man pages and completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// The open source base layer for civil infrastructure, from package to proof.
///
/// Builds hardened, reproducible, verified-boot Debian images for devices that must run, stay secure and stay certified
/// for ten years and more: resolve a manifest to exact packages (lock), build the image from them without root and
/// without a network (build), and boot it (run).
#[derive(Debug, Parser)]
#[command(
    name = "bedstone",
    version,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Start with:  bedstone build examples/security --output build/security && bedstone run build/security\n\
                  Environment: BEDSTONE_MIRROR, BEDSTONE_STORE, BEDSTONE_CACHE, NO_COLOR (docs/reference/environment.md)\n\
                  Exit codes:  0 done, 1 failed, 2 wrong usage, 3 bad input, 4 check says no, 130 interrupted"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print JSON: events as lines on standard error, the result as one object on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print nothing but the result and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,

    /// Package store: every package a lock names is kept here
    #[arg(long, global = true, value_name = "DIR", env = "BEDSTONE_STORE", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,

    /// Cache of unpacked trees and layers; may be deleted at any time
    #[arg(long, global = true, value_name = "DIR", env = "BEDSTONE_CACHE", value_hint = ValueHint::DirPath)]
    pub(crate) cache: Option<PathBuf>,

    /// Use no network: everything must be in the store already
    #[arg(long, global = true)]
    pub(crate) offline: bool,

    /// Parallel jobs; the result is the same with any number
    #[arg(long, short = 'j', global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) jobs: Option<u16>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether to use colours on what is a terminal or not.
    pub(crate) fn is_wanted(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Resolve the manifest to exact packages and write bedstone.lock
    Lock(LockArgs),
    /// Build the image that manifest and lock describe
    Build(BuildArgs),
    /// Boot a built image in QEMU
    Run(RunArgs),
    /// Make, show and verify update bundles (.swu)
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Say why something is in the image, up to the requirement it serves
    Why(WhyArgs),
    /// Show the packages of the lock as a dependency tree
    Tree(TreeArgs),
    /// Print the manifest with every default filled in and where each value comes from
    Show(LayersArg),
    /// Print the JSON schema of the manifest
    Schema,
    /// Check kernel configurations
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Look at the package store
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Print shell completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages and completions for packaging
    #[command(hide = true)]
    Generate {
        /// Where to
        #[arg(long, value_hint = ValueHint::DirPath)]
        output: PathBuf,
    },
}

/// The manifest layers a command works on.
#[derive(Debug, Args)]
pub(crate) struct LayersArg {
    /// Manifest layers, left to right, later wins: FILE.toml[:FILE.toml…]; a directory means its product.toml
    #[arg(value_name = "LAYERS", default_value = "product.toml", value_hint = ValueHint::AnyPath)]
    pub(crate) layers: String,

    /// Lock file [default: bedstone.lock beside the first layer]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) lock: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) layers: LayersArg,

    /// Take newer versions: of all packages, or of those named
    #[arg(long, value_name = "PKG", num_args = 0.., value_delimiter = ',')]
    pub(crate) upgrade: Option<Vec<String>>,

    /// Write nothing; exit with 4 when the lock does not fit the manifest, and say why
    #[arg(long, conflicts_with = "upgrade")]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) layers: LayersArg,

    /// Where the artifacts and image.json go [default: build/PRODUCT]
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,

    /// Directory of the signing keys; development keys are made there on first use
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) keys: Option<PathBuf>,

    /// Also write these forms of the disk image
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FORM")]
    pub(crate) also: Vec<ImageForm>,

    /// Use no cached trees or layers, as on a fresh machine
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// Forms of the disk image beside the sparse raw file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageForm {
    /// disk.img.zst
    Zstd,
    /// disk.qcow2
    Qcow2,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Output directory of a build
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) image: PathBuf,

    /// Firmware without Secure Boot
    #[arg(long)]
    pub(crate) no_secure_boot: bool,

    /// Boot kernel and initramfs directly, without firmware and boot loader: a quick look
    #[arg(long, conflicts_with_all = ["no_secure_boot", "tpm"])]
    pub(crate) kernel_only: bool,

    /// Attach a TPM 2.0 whose state lives in DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) tpm: Option<PathBuf>,

    /// Keep what the guest writes: in DIR/disk.run.qcow2 instead of nowhere
    #[arg(long)]
    pub(crate) keep: bool,

    /// Stop as soon as the login prompt is there, and report
    #[arg(long)]
    pub(crate) until_login: bool,

    /// No network; otherwise a free port on 127.0.0.1 leads to the guest's ssh
    #[arg(long)]
    pub(crate) no_network: bool,

    /// No watchdog device; EFI Boot Guard stops when its environment asks for one
    #[arg(long)]
    pub(crate) no_watchdog: bool,

    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..))]
    pub(crate) memory: u32,

    /// Processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) cpus: u16,

    /// Acceleration
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) accel: Accel,

    /// Give up when there is no login prompt after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

/// How the guest's processor is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    /// KVM if it works here, else emulation
    Auto,
    /// KVM
    Kvm,
    /// Emulation
    Tcg,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A package, the absolute path of a file in the image, or a setting such as sysctl:kernel.sysrq
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) layers: LayersArg,
}

#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    #[command(flatten)]
    pub(crate) layers: LayersArg,

    /// Show dependencies down to this depth
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<usize>,

    /// Turn the tree round: who needs PKG
    #[arg(long, value_name = "PKG")]
    pub(crate) invert: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Hold a kernel configuration against the hardening baseline
    Check {
        /// The configuration: a .config or /boot/config-* file
        #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
        config: PathBuf,

        /// Kernel version [default: from the file's header]
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,

        /// Accept the deviations that these manifest layers accept
        #[arg(long, value_name = "LAYERS")]
        accept: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Make a signed bundle of a built image, for the slot that a device does not run
    Create(BundleCreateArgs),
    /// Show what a bundle would write where, its versions, its signer and the hardware it is for
    Show {
        /// The bundle
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        bundle: PathBuf,
    },
    /// Read a bundle as a device does: signature, digests, completeness; exit with 4 when it is refused
    Verify(BundleVerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BundleCreateArgs {
    /// Output directory of a build
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) image: PathBuf,

    /// Private key, RSA of 3072 bits or more or ECDSA P-256: a file of PKCS #8 in PEM or DER, or pkcs11:token=NAME;object=NAME
    /// [default: the development key, for an image that development keys signed]
    #[arg(long, value_name = "FILE|URI", requires = "certificate", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<String>,

    /// Directory of the development keys
    #[arg(long, value_name = "DIR", conflicts_with = "key", value_hint = ValueHint::DirPath)]
    pub(crate) keys: Option<PathBuf>,

    /// Library of the token that holds the key
    #[arg(long, value_name = "FILE", requires = "pin_file", value_hint = ValueHint::FilePath)]
    pub(crate) pkcs11_module: Option<PathBuf>,

    /// File with the token's PIN
    #[arg(long, value_name = "FILE", requires = "pkcs11_module", value_hint = ValueHint::FilePath)]
    pub(crate) pin_file: Option<PathBuf>,

    /// Certificate of the key, PEM or DER; devices trust it or the authority that issued it
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: Option<PathBuf>,

    /// Hardware that the bundle is for, as the device calls itself; may be given several times [default: the image's own]
    #[arg(long, value_name = "REVISION")]
    pub(crate) hardware: Vec<String>,

    /// Where the bundle goes [default: DIR/PRODUCT-VERSION.swu]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Send the root file system as the difference to what a device holds: rdiff to one older image, zchunk to any
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) delta: Option<BundleDelta>,

    /// The older root file system (`rootfs` of its image.json); devices that run another one refuse the bundle
    #[arg(long, value_name = "FILE", required_if_eq("delta", "rdiff"), value_hint = ValueHint::FilePath)]
    pub(crate) base: Option<PathBuf>,

    /// Where devices will find the zchunk file that is written beside the bundle, http://…: its chunks' digests are signed
    #[arg(long, value_name = "URL", required_if_eq("delta", "zchunk"), value_hint = ValueHint::Url)]
    pub(crate) url: Option<String>,

    /// Add the whole root file system, for devices to which the difference is of no use
    #[arg(long, requires = "delta")]
    pub(crate) with_full: bool,

    /// How the root file system and the kernel image are compressed
    #[arg(long, value_enum, default_value = "zstd")]
    pub(crate) compression: BundleCompression,

    /// Level of zstd
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) level: i32,

    /// Encrypt with the key and vector in this file: hexadecimal, 64 digits, a blank, 32 digits
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) encrypt: Option<PathBuf>,

    /// Replace the boot loader too; falling back to the other slot does not undo that
    #[arg(long)]
    pub(crate) boot_loader: bool,

    /// Syntax of sw-description
    #[arg(long, value_enum, default_value = "libconfig")]
    pub(crate) syntax: BundleSyntax,

    /// Format of the archive
    #[arg(long, value_enum, default_value = "crc")]
    pub(crate) format: BundleFormat,
}

/// Differences of a root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleDelta {
    /// A delta of librsync in the bundle, for devices that run the image of --base
    Rdiff,
    /// The header of a zchunk file in the bundle; devices fetch from --url what they lack
    Zchunk,
}

/// How members are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleCompression {
    /// Not at all
    None,
    /// gzip, which SWUpdate calls zlib
    Zlib,
    /// Zstandard
    Zstd,
}

/// Syntax of sw-description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleSyntax {
    /// libconfig
    Libconfig,
    /// JSON
    Json,
}

/// Format of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleFormat {
    /// With a checksum for each member
    Crc,
    /// Without
    Newc,
}

#[derive(Debug, Args)]
pub(crate) struct BundleVerifyArgs {
    /// The bundle; - reads standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bundle: PathBuf,

    /// Trusted certificates, PEM or DER: signers, or authorities that issued to them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: PathBuf,

    /// Judge certificates at this time instead of now
    #[arg(long, value_name = "RFC3339", conflicts_with = "no_clock")]
    pub(crate) at: Option<jiff::Timestamp>,

    /// Leave validity periods out of account, as a device without a clock does
    #[arg(long)]
    pub(crate) no_clock: bool,

    /// Decrypt with the key and vector in this file, to check that the content can be decoded
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) decrypt: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Count the objects in the store and their size
    Usage,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
