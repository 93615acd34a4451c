#![no_main]

use bedstone_image::modules::ModuleInfo;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = ModuleInfo::from_elf(data);
    let _ = ModuleInfo::parse(data);
});
