//! An IPv4 address and a TCP port, without the standard library's networking types.

use std::{fmt, str::FromStr};

/// Where a server listens, and where a client connects to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    /// The four parts of the IPv4 address, in the order they are written.
    pub ip: [u8; 4],
    /// The TCP port, 0 to 65535; 0 asks the kernel for a free one.
    pub port: u16,
}

impl Address {
    /// `127.0.0.1`: reached from this machine alone.
    pub const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
    /// `0.0.0.0`: every address of the machine.
    pub const ANY: [u8; 4] = [0, 0, 0, 0];

    /// Where a client on the same machine reaches a server that listens here.
    #[must_use]
    pub fn as_destination(self) -> Self {
        // Linux takes a connection to 0.0.0.0 for one to loopback; RFC 1122, 3.2.1.3 does not promise it.
        if self.ip == Self::ANY { Self { ip: Self::LOOPBACK, ..self } } else { self }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.ip.map(|part| part.to_string()).join(".");
        write!(f, "{ip}:{}", self.port)
    }
}

/// A text that is no `IPv4:port`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseAddressError;

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an IPv4 address and a port, such as 127.0.0.1:7007")
    }
}

impl std::error::Error for ParseAddressError {}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ip, port) = text.split_once(':').ok_or(ParseAddressError)?;
        Ok(Self { ip: parse_ipv4(ip)?, port: port.parse().map_err(|_| ParseAddressError)? })
    }
}

/// Reads an IPv4 address in its one strict form: four decimal numbers without leading zeros, which
/// `inet_aton(3)` would take for octal.
///
/// # Errors
/// [`ParseAddressError`] for every other text.
pub fn parse_ipv4(text: &str) -> Result<[u8; 4], ParseAddressError> {
    let mut ip = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut ip {
        let part = parts.next().ok_or(ParseAddressError)?;
        *byte = part.parse().map_err(|_| ParseAddressError)?;
        if byte.to_string() != part {
            return Err(ParseAddressError);
        }
    }
    if parts.next().is_some() { Err(ParseAddressError) } else { Ok(ip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["127.0.0.1:0", "0.0.0.0:65535", "10.20.30.40:7007"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for text in
            ["", "127.0.0.1", "127.0.0:1", "127.0.0.01:1", "127.0.0.+1:1", "256.0.0.1:1", "1.2.3.4.5:1", "::1:1"]
        {
            assert_eq!(text.parse::<Address>(), Err(ParseAddressError), "{text}");
        }
    }
}
