//! EFI variables: the store, and what its variables may hold.

#![no_main]

use bedstone_disk::efi_variables::{
    DevicePath, LoadOption, VariableStore, boot_order, efivarfs, signature_list,
};

fn values(data: &[u8]) {
    let _ = boot_order::decode(data);
    let _ = efivarfs::decode(data);
    let _ = efivarfs::partition(data);
    let _ = signature_list::decode(data);
    if let Ok(path) = DevicePath::decode(data)
        && let Ok(bytes) = path.encode()
    {
        assert_eq!(DevicePath::decode(&bytes).ok(), Some(path));
    }
    if let Ok(option) = LoadOption::decode(data)
        && let Ok(bytes) = option.encode()
    {
        assert_eq!(LoadOption::decode(&bytes).ok(), Some(option));
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    values(data);
    let Ok(store) = VariableStore::read(data) else {
        return;
    };
    for variable in store.variables() {
        values(&variable.data);
    }
    if let Ok(bytes) = store.write() {
        assert_eq!(VariableStore::read(&bytes).ok(), Some(store));
    }
});
