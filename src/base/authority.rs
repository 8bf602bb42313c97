//! `HOST[:PORT]`, IPv6 in brackets (RFC 3986, 3.2): how every URL, portal and address of ours names an
//! end of a connection.

/// Bytes of a host name at most (RFC 1035, 2.3.4, with some room).
const HOST_MAX: usize = 255;

/// Host without brackets, and the port where one is said. Port 0 is one that is still to be chosen: to
/// listen at, see [`remote`].
///
/// # Errors
/// What is wrong with it. The host is not repeated: who has misplaced a secret may have it there.
pub fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6
                .split_once(']')
                .ok_or("'[' without ']' around an IPv6 address")?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => {
                    return Err("only a port may follow the IPv6 address: [::1]:4420".to_owned());
                }
            }
        }
        None if text.matches(':').count() > 1 => {
            return Err("an IPv6 address stands in brackets: [::1]:4420".to_owned());
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    // What follows '%' is the zone of an IPv6 address (RFC 4007, 11).
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    if host.len() > HOST_MAX || !host.chars().all(plain) {
        return Err(format!(
            "a host is a name or an address: up to {HOST_MAX} letters, digits, '.', '-', '_', ':' and '%'"
        ));
    }
    let number = |port: &str| {
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits);
        port.ok_or_else(|| "what follows the host is not a port (1 to 65535)".to_owned())
    };
    Ok((host, port.map(number).transpose()?))
}

/// The same for an end that is connected to: there is no port 0.
///
/// # Errors
/// As [`split`].
pub fn remote(text: &str) -> Result<(&str, Option<u16>), String> {
    match split(text)? {
        (_, Some(0)) => Err("'0' is not a port (1 to 65535)".to_owned()),
        parts => Ok(parts),
    }
}

/// `HOST:PORT`, with brackets where they are needed.
pub fn join(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("h", "h", None),
            ("a-b.c_d:1", "a-b.c_d", Some(1)),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("[::1]", "::1", None),
            ("[fe80::1%eth0]:3260", "fe80::1%eth0", Some(3260)),
        ] {
            assert_eq!(split(text), Ok((host, port)), "{text}");
            assert_eq!(remote(text), Ok((host, port)), "{text}");
            if let Some(port) = port {
                assert_eq!(join(host, port), text);
            }
        }
        assert_eq!(split("h:0"), Ok(("h", Some(0))));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_host_is_not_repeated() {
        for (text, word) in [
            ("", "host is missing"),
            (":1", "host is missing"),
            ("[]:1", "host is missing"),
            ("[::1", "without ']'"),
            ("[::1]1", "only a port"),
            ("::1", "brackets"),
            ("secret:1:2", "brackets"),
            ("secret:", "not a port"),
            ("secret:+1", "not a port"),
            ("secret:65536", "not a port"),
            ("sec ret", "letters"),
            ("sec@ret:1", "letters"),
        ] {
            let e = split(text).expect_err(text);
            assert!(e.contains(word) && !e.contains("sec"), "{text}: {e}");
        }
        assert!(split(&"h".repeat(HOST_MAX + 1)).is_err());
        assert!(remote("h:0").expect_err("none").contains("not a port"));
    }
}
