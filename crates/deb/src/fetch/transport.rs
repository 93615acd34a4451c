//! One request: `http:`, `https:` or `file:`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use ureq::config::Config;
use ureq::http::header::{CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED, LOCATION};
use ureq::http::uri::InvalidUri;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use super::Options;
use super::forward::ForwardConnector;
use crate::error::{Error, Result};

/// Redirections that are followed for one request.
const REDIRECTS: u32 = 5;

/// What a server said to tell this version of a file from later ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

/// The answer to a request.
pub(super) enum Answer {
    /// The content, from `offset` on.
    Content {
        reader: Box<dyn Read>,
        /// Where the content begins: what was asked for, or 0 when the server sends everything.
        offset: u64,
        /// Length of the whole file, where it is told.
        total: Option<u64>,
        validators: Validators,
    },
    /// The version that the validators stand for is still the current one.
    NotModified,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such file.
    NotFound,
    /// Another try may help.
    Transient(String),
    /// Another try will not help.
    Permanent(String),
    /// The run as a whole cannot go on.
    Fatal(Error),
}

/// Connections, kept open between requests.
#[derive(Debug)]
pub(super) struct Transport {
    /// Without a proxy.
    direct: Agent,
    /// For `http:` through a proxy, and what the proxy wants to know of us.
    forward: Option<(Agent, Option<String>)>,
    /// For `https:` through a proxy.
    tunnel: Option<Agent>,
    direct_hosts: Vec<String>,
}

impl Transport {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let forward = proxy(options.http_proxy.as_deref())?.map(|proxy| {
            let login = proxy.username().map(|user| {
                let pair = format!("{user}:{}", proxy.password().unwrap_or_default());
                format!("Basic {}", STANDARD.encode(pair))
            });
            let config = config(options, Some(proxy));
            let connector = ForwardConnector::default();
            let agent = Agent::with_parts(config, connector, DefaultResolver::default());
            (agent, login)
        });
        let tunnel = proxy(options.https_proxy.as_deref())?;
        Ok(Self {
            direct: config(options, None).new_agent(),
            forward,
            tunnel: tunnel.map(|proxy| config(options, Some(proxy)).new_agent()),
            direct_hosts: options.no_proxy.clone(),
        })
    }

    /// Ends every connection, also those that others are reading from. None can be made afterwards.
    pub(super) fn shut_down(&self) {
        self.direct.clone().shutdown();
        if let Some((agent, _)) = &self.forward {
            agent.clone().shutdown();
        }
        if let Some(agent) = &self.tunnel {
            agent.clone().shutdown();
        }
    }

    /// Asks for `address` from byte `offset` on, or for a version other than the one of `known`.
    pub(super) fn get(
        &self,
        address: &str,
        offset: u64,
        known: Option<&Validators>,
    ) -> Result<Answer, Failure> {
        if let Some(path) = address.strip_prefix("file://") {
            return open(Path::new(path), offset);
        }
        let mut address = address.to_owned();
        for _ in 0..=REDIRECTS {
            let response = self.request(&address, offset, known)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return answer(response, offset);
            }
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
            address = redirect(&address, location)?;
        }
        Err(Failure::Permanent(format!(
            "redirected more than {REDIRECTS} times"
        )))
    }

    fn request(
        &self,
        address: &str,
        offset: u64,
        known: Option<&Validators>,
    ) -> Result<Response<Body>, Failure> {
        let uri: Uri = address
            .parse()
            .map_err(|error: InvalidUri| Failure::Permanent(error.to_string()))?;
        let host = uri.host().unwrap_or_default();
        let direct = self.direct_hosts.iter().any(|entry| covers(entry, host));
        let mut agent = &self.direct;
        let mut login = None;
        if !direct && uri.scheme_str() == Some("https") {
            agent = self.tunnel.as_ref().unwrap_or(agent);
        } else if let Some((forward, of_proxy)) = self.forward.as_ref().filter(|_| !direct) {
            agent = forward;
            login = of_proxy.as_ref();
        }
        let mut request = agent.get(address);
        if let Some(login) = login {
            request = request.header("Proxy-Authorization", login);
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        if let Some(known) = known {
            // Caches on the way must ask as well.
            request = request.header("Cache-Control", "max-age=0");
            if let Some(etag) = &known.etag {
                request = request.header("If-None-Match", etag);
            } else if let Some(time) = &known.last_modified {
                request = request.header("If-Modified-Since", time);
            }
        }
        request.call().map_err(|error| failure(&error))
    }
}

/// Where a redirection leads: an address, or a path on the same server; never from `https:` to `http:`.
fn redirect(from: &str, location: &str) -> Result<String, Failure> {
    let (scheme, rest) = from.split_once("://").unwrap_or_default();
    let to = if location.starts_with('/') && !location.starts_with("//") {
        let server = rest.split('/').next().unwrap_or_default();
        format!("{scheme}://{server}{location}")
    } else {
        location.to_owned()
    };
    if to.starts_with("https://") || (to.starts_with("http://") && scheme == "http") {
        return Ok(to);
    }
    Err(Failure::Permanent(format!(
        "redirected to `{location}`, which is not followed"
    )))
}

/// Whether an entry of `no_proxy` stands for a host: `*`, the host itself or a domain it is in.
fn covers(entry: &str, host: &str) -> bool {
    let entry = entry.trim_start_matches("*.").trim_start_matches('.');
    entry == "*"
        || host == entry
        || host
            .strip_suffix(entry)
            .is_some_and(|rest| rest.ends_with('.') && !entry.is_empty())
}

fn proxy(address: Option<&str>) -> Result<Option<Proxy>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let refuse = |reason: String| Error::Network {
        address: address.to_owned(),
        reason: format!("not a usable proxy: {reason}"),
    };
    match Proxy::new(address) {
        Ok(proxy) if proxy.protocol() == ProxyProtocol::Http => Ok(Some(proxy)),
        Ok(_) => Err(refuse("only `http:` proxies are supported".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn config(options: &Options, proxy: Option<Proxy>) -> Config {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = &options.certificates {
        let certificates: Vec<_> = ureq::tls::parse_pem(pem)
            .filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        tls = tls.root_certs(RootCerts::from(certificates));
    }
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .tls_config(tls.build())
        .timeout_connect(Some(options.timeout))
        .timeout_recv_response(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .max_idle_connections_per_host(options.connections)
        .user_agent(concat!("bedstone/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn answer(response: Response<Body>, offset: u64) -> Result<Answer, Failure> {
    let header = |name: HeaderName| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let validators = Validators {
        etag: header(ETAG),
        last_modified: header(LAST_MODIFIED),
    };
    let length = response.body().content_length();
    let (offset, total) = match response.status().as_u16() {
        200 => (0, length),
        206 => {
            // `bytes FIRST-LAST/TOTAL`
            let range = header(CONTENT_RANGE).unwrap_or_default();
            let first = range
                .strip_prefix("bytes ")
                .and_then(|range| range.split('-').next())
                .and_then(|first| first.parse().ok());
            if first != Some(offset) {
                let reason = format!("sent the range `{range}` instead of the one asked for");
                return Err(Failure::Permanent(reason));
            }
            (offset, length.map(|length| offset + length))
        }
        304 => return Ok(Answer::NotModified),
        404 | 410 => return Err(Failure::NotFound),
        code => {
            let reason = format!("the server answered {}", response.status());
            return Err(match code {
                408 | 425 | 429 | 500..=599 => Failure::Transient(reason),
                _ => Failure::Permanent(reason),
            });
        }
    };
    Ok(Answer::Content {
        reader: Box::new(response.into_body().into_reader()),
        offset,
        total,
        validators,
    })
}

fn failure(error: &ureq::Error) -> Failure {
    let reason = error.to_string();
    match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_) => Failure::Transient(reason),
        _ => Failure::Permanent(reason),
    }
}

fn open(path: &Path, offset: u64) -> Result<Answer, Failure> {
    let result = File::open(path).and_then(|mut file| {
        let total = file.metadata()?.len();
        let offset = file.seek(SeekFrom::Start(offset.min(total)))?;
        Ok((file, offset, total))
    });
    match result {
        Ok((file, offset, total)) => Ok(Answer::Content {
            reader: Box::new(file),
            offset,
            total: Some(total),
            validators: Validators::default(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotFound),
        Err(error) => Err(Failure::Permanent(error.to_string())),
    }
}

/// Joins a base address and a path of a repository. What addresses treat specially is escaped.
pub(super) fn address(base: &str, path: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.starts_with("file:") {
        return format!("{base}/{path}");
    }
    let mut address = format!("{base}/");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:=@!$&'()*,;".contains(&byte) {
            address.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            address.push('%');
            address.push(char::from(DIGITS[usize::from(byte >> 4)]));
            address.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    address
}
