use bedstone_disk::authenticode::Signer;

use super::{Found, hold};
use crate::build::{Build, packages};
use crate::error::{Error, Result};
use crate::manifest::{Architecture, KernelSource, Manifest};
use crate::modules::Selection;
use crate::rootfs::cache::CacheDirs;
use crate::rootfs::tools::kernel::{
    Arrangement, BuiltKernel, KernelBuild, ModuleTree, arrange as arrange_modules, kernel,
};

/// Builds the kernel from source. Its modules are verified with the certificate of the key that signs the boot chain.
pub(super) fn compile(
    source: &KernelSource,
    build: &Build<'_>,
    manifest: &Manifest,
    cache: &CacheDirs,
) -> Result<Found> {
    if manifest.debian.architecture != Architecture::Amd64 {
        return Err(Error::NoKernel(
            "a kernel is built from source for `amd64` only".to_owned(),
        ));
    }
    let order = KernelBuild {
        source,
        packages: &packages(build, &build.lock.tools),
        certificate: build.keys.boot.certificate_der(),
        jobs: build.jobs.get(),
        reporter: build.reporter,
    };
    // What the baseline refuses need not be compiled first.
    let accept = |config: &str| hold(config, "", build, manifest).map(drop);
    let built = kernel(&order, &accept, cache, build.interrupt)?;
    Ok(Found {
        package: String::new(),
        digest: built.digest,
        release: built.release.clone(),
        image: built.image.clone(),
        config: built.config.clone(),
        modules: built.modules.clone(),
        built: Some(built),
    })
}

/// Signs the chosen modules of a kernel that was built.
pub(super) fn arrange(
    built: &BuiltKernel,
    selection: Option<&Selection>,
    build: &Build<'_>,
    cache: &CacheDirs,
) -> Result<ModuleTree> {
    let arrangement = Arrangement {
        kernel: built,
        selection,
        signer: &build.keys.boot,
        packages: &packages(build, &build.lock.tools),
    };
    arrange_modules(&arrangement, cache, build.interrupt)
}
