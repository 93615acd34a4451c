//! Plain `http:` through a proxy.
//!
//! `ureq` asks every proxy for a tunnel (`CONNECT`), which proxies commonly allow for https alone. Requests in the
//! absolute form (RFC 9112 section 3.2.2) work everywhere, and let a caching proxy cache: this connector opens the
//! connection to the proxy and writes the origin into each request line.

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};

/// Connects to the proxy of the configuration.
#[derive(Debug, Default)]
pub(super) struct ForwardConnector(TcpConnector);

impl Connector for ForwardConnector {
    type Out = Forward<<TcpConnector as Connector>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(proxy) = details.config.proxy() else {
            return Ok(None);
        };
        let addrs = details
            .resolver
            .resolve(proxy.uri(), details.config, details.timeout)?;
        let proxied = ConnectionDetails {
            uri: proxy.uri(),
            addrs,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let origin = details.uri.authority().map_or("", |it| it.as_str());
        Ok(self.0.connect(&proxied, None)?.map(|inner| Forward {
            inner,
            origin: format!("http://{origin}"),
        }))
    }
}

/// A connection to a proxy that is used for one origin.
#[derive(Debug)]
pub(super) struct Forward<T> {
    inner: T,
    origin: String,
}

/// How every request begins; the method is always this one, and no request has a body that could begin like it.
const LINE: &[u8] = b"GET /";

impl<T: Transport> Transport for Forward<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.inner.buffers().output();
        let mut amount = amount;
        if output[..amount].starts_with(LINE) {
            let at = LINE.len() - 1;
            let longer = amount + self.origin.len();
            if longer > output.len() {
                return Err(ureq::Error::BadUri(self.origin.clone()));
            }
            output.copy_within(at..amount, at + self.origin.len());
            output[at..at + self.origin.len()].copy_from_slice(self.origin.as_bytes());
            amount = longer;
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
