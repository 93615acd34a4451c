//! Names and addresses of networks.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

type Rule = Result<(), String>;

text! {
    /// A host name in DNS form, of labels separated by dots (RFC 1123).
    HostName = "host-name", "a host name such as `gateway` or `pool.example`", host_name;
    /// An IPv4 or IPv6 address.
    IpAddress = "ip-address", "an address such as `192.0.2.1`", ip_address;
    /// An address with the length of its network prefix.
    Cidr = "cidr", "an address with prefix such as `192.0.2.10/24`", cidr;
    /// A network interface or a shell pattern over several, as systemd.network's `Name=` takes it.
    InterfacePattern = "interface", "an interface such as `eth0` or a pattern such as `en*`", interface;
    /// The address of a package archive: `https`, `http` or `file`.
    Uri = "archive-uri", "an address such as `https://…/debian`", uri;
}

pub(super) fn check(format: &str, value: &str) -> Option<Rule> {
    RULES
        .iter()
        .find(|(name, _, _)| *name == format)
        .map(|(_, _, rule)| rule(value))
}

pub(super) fn describe(format: &str) -> Option<&'static str> {
    RULES
        .iter()
        .find(|(name, _, _)| *name == format)
        .map(|(_, hint, _)| *hint)
}

fn host_name(value: &str) -> Rule {
    let good = value.len() <= 253
        && value.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if good {
        Ok(())
    } else {
        Err(format!(
            "`{value}` is not a host name: labels of letters, digits and inner `-`, separated by dots"
        ))
    }
}

fn ip_address(value: &str) -> Rule {
    value
        .parse::<IpAddr>()
        .map(drop)
        .map_err(|_| format!("`{value}` is not an IPv4 or IPv6 address"))
}

fn cidr(value: &str) -> Rule {
    let Some((address, prefix)) = value.split_once('/') else {
        return Err(format!(
            "`{value}` lacks the length of its network, such as `{value}/24`"
        ));
    };
    ip_address(address)?;
    let longest = if address.contains(':') { 128 } else { 32 };
    match prefix.parse::<u8>() {
        Ok(length) if (1..=longest).contains(&length) => Ok(()),
        _ => Err(format!(
            "`/{prefix}` is not a prefix length between 1 and {longest}"
        )),
    }
}

fn interface(value: &str) -> Rule {
    let good = !value.is_empty()
        && value.len() <= 15
        && value
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"/\"'\\!".contains(&b));
    if good {
        Ok(())
    } else {
        Err(format!(
            "`{value}` is not the name or pattern of an interface, such as `eth0` or `en*`, at most 15 long"
        ))
    }
}

fn uri(value: &str) -> Rule {
    let rest = ["https://", "http://", "file:///"]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme))
        .ok_or_else(|| {
            format!("`{value}` is not an `https://`, `http://` or `file:///` address")
        })?;
    let authority = rest.split('/').next().unwrap_or_default();
    if value.bytes().any(|b| !b.is_ascii_graphic()) || rest.is_empty() {
        return Err(format!("`{value}` is not a complete address"));
    }
    if authority.contains('@') {
        return Err(
            "an address with user name or password does not belong into a manifest".to_owned(),
        );
    }
    Ok(())
}
