use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::text::{Cidr, HostName, InterfacePattern, IpAddress};

/// Host name, interfaces (by systemd-networkd), name and time servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Network {
    /// Host name; without it the product's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// Name servers beside those that DHCP gives.
    pub dns: Vec<IpAddress>,
    /// Time servers; without any, those that DHCP gives and Debian's pool.
    pub ntp: Vec<HostName>,
    /// Interfaces by name or pattern; without any, every Ethernet interface (`en*`, `eth*`) uses DHCP.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "interface"}))]
    pub interfaces: BTreeMap<InterfacePattern, Interface>,
}

/// How an interface gets its addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Interface {
    /// Whether DHCP and router advertisements configure it.
    pub dhcp: bool,
    /// Fixed addresses.
    pub addresses: Vec<Cidr>,
    /// Router for everything that is not on the interface's own network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddress>,
    /// Whether the system waits for this interface when it waits for the network.
    pub optional: bool,
}
