use bedstone_store::Store;
use serde_json::json;

use crate::args::ArchiveCommand;
use crate::context::Context;
use crate::failure::Result;

pub(crate) fn run(command: &ArchiveCommand, context: &Context) -> Result<()> {
    match command {
        ArchiveCommand::Usage => usage(context),
    }
}

fn usage(context: &Context) -> Result<()> {
    let directory = context.store_directory()?;
    let usage = Store::open(&directory)?.usage()?;
    context.print(
        &json!({
            "version": 1,
            "store": directory,
            "objects": usage.objects,
            "bytes": usage.bytes,
            "partial_bytes": usage.partial_bytes,
        }),
        || {
            format!(
                "{}\n  {} objects, {:.1} MB; downloads under way: {:.1} MB\n",
                directory.display(),
                usage.objects,
                usage.bytes as f64 / 1e6,
                usage.partial_bytes as f64 / 1e6
            )
        },
    )
}
