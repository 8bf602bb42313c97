//! The login of a session as far as the session is concerned: bytes out, answers in, and at the end
//! what was agreed on (RFC 7143, 6.3 and 13).
//!
//! Two exchanges: the security stage, where the target may want to know who we are, and the
//! operational stage. Every key is offered, so that nothing depends on a target's defaults.

use super::connection::Params;
use super::info::SessionConfig;
use super::wire::{self, BHS, NO_TAG, op};

/// Requests of one login at most; a target that never comes to an end is given up on.
const REQUESTS_MAX: u32 = 16;
/// Bytes of keys in one request (the default MaxRecvDataSegmentLength of a login).
const TEXT_MAX: usize = 8192;
/// CmdSN of a login; the first command carries the same (RFC 7143, 11.12.8).
const CMD_SN: u32 = 1;

/// What follows an answer.
#[derive(Debug)]
pub(super) enum LoginStep {
    Send(Vec<u8>),
    Refused(String),
    Done(Done),
}

/// What a login leads to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) params: Params,
    pub(super) cmd_sn: u32,
    pub(super) exp_stat_sn: u32,
    /// ExpCmdSN and MaxCmdSN.
    pub(super) window: (u32, u32),
    pub(super) target_portal_group: Option<u16>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    Security,
    Operational,
}

/// One login under way.
#[derive(Debug)]
pub(super) struct Login {
    config: SessionConfig,
    params: Params,
    group: Option<u16>,
    stage: Stage,
    exp_stat_sn: u32,
    tsih: u16,
    requests: u32,
    /// Text of an answer that goes on in the next PDU (the C bit).
    text: Vec<u8>,
}

impl Login {
    /// Starts a login; the bytes are its first request.
    pub(super) fn start(config: &SessionConfig) -> (Self, Vec<u8>) {
        let mut login = Self {
            params: Params {
                // What a key that is never answered means (RFC 7143, 13).
                header_digest: false,
                data_digest: false,
                immediate_data: true,
                initial_r2t: true,
                first_burst: 64 * 1024,
                max_burst: 256 * 1024,
                max_send: 8192,
                max_recv: config.max_recv,
                max_r2t: 1,
            },
            config: config.clone(),
            group: None,
            stage: Stage::Security,
            exp_stat_sn: 0,
            tsih: 0,
            requests: 0,
            text: Vec::new(),
        };
        let c = &login.config;
        let keys = [
            ("InitiatorName", c.initiator_name.as_str()),
            ("TargetName", c.target_name.as_str()),
            ("SessionType", "Normal"),
            ("AuthMethod", "None"),
        ];
        let text = emit(keys.iter().map(|(k, v)| (*k, (*v).to_owned())));
        let bytes = login.request(true, &text);
        (login, bytes)
    }

    fn operational_keys(&self) -> Vec<u8> {
        let c = &self.config;
        let yes = |b: bool| if b { "Yes" } else { "No" }.to_owned();
        let digest = |b: bool| if b { "CRC32C" } else { "None" }.to_owned();
        emit(
            [
                ("HeaderDigest", digest(c.header_digest)),
                ("DataDigest", digest(c.data_digest)),
                ("MaxConnections", "1".to_owned()),
                ("InitialR2T", yes(c.initial_r2t)),
                ("ImmediateData", yes(c.immediate_data)),
                ("MaxRecvDataSegmentLength", c.max_recv.to_string()),
                ("MaxBurstLength", c.max_burst.to_string()),
                ("FirstBurstLength", c.first_burst.to_string()),
                ("DefaultTime2Wait", "0".to_owned()),
                ("DefaultTime2Retain", "0".to_owned()),
                ("MaxOutstandingR2T", "8".to_owned()),
                ("DataPDUInOrder", "Yes".to_owned()),
                ("DataSequenceInOrder", "Yes".to_owned()),
                ("ErrorRecoveryLevel", "0".to_owned()),
            ]
            .into_iter(),
        )
    }

    /// A request in the present stage; `transit`: we are ready for the next one.
    fn request(&mut self, transit: bool, text: &[u8]) -> Vec<u8> {
        assert!(text.len() <= TEXT_MAX, "the keys of a login are few");
        self.requests += 1;
        let stages = match self.stage {
            Stage::Security => 0x01,
            Stage::Operational => 0x07,
        };
        let mut b = vec![0; BHS];
        // Immediate, as every login request is.
        b[0] = 0x43;
        b[1] = if transit {
            0x80 | stages
        } else {
            stages & 0x0c
        };
        wire::put_data_len(&mut b, text.len() as u32);
        b[8..14].copy_from_slice(&self.config.isid);
        b[14..16].copy_from_slice(&self.tsih.to_be_bytes());
        wire::put32(&mut b, 16, 1);
        wire::put32(&mut b, 24, CMD_SN);
        wire::put32(&mut b, 28, self.exp_stat_sn);
        b.extend_from_slice(text);
        b.resize(b.len() + wire::pad(text.len()), 0);
        b
    }

    /// Takes an answer: header and data.
    pub(super) fn answer(&mut self, pdu: &[u8]) -> LoginStep {
        let refused = |why: String| LoginStep::Refused(why);
        if pdu.len() < BHS || pdu[0] & 0x3f != op::LOGIN_RESPONSE {
            return refused("the target rejected the login request as malformed".to_owned());
        }
        let (class, detail) = (pdu[36], pdu[37]);
        let text = &pdu[BHS..];
        if class == 1 {
            let to = find(text, "TargetAddress").unwrap_or_default();
            return refused(format!(
                "the target has moved {} to {to}: name that portal in the path",
                if detail == 1 { "for now" } else { "for good" }
            ));
        }
        if class != 0 {
            return refused(format!(
                "status {class:02x}{detail:02x}h ({})",
                status_name(class, detail, self.config.chap.is_some())
            ));
        }
        if wire::be32(pdu, 16) != 1 || wire::be32(pdu, 16) == NO_TAG {
            return refused("the answer carries the tag of another request".to_owned());
        }
        self.exp_stat_sn = wire::be32(pdu, 24).wrapping_add(1);
        if self.requests >= REQUESTS_MAX || self.text.len() + text.len() > 4 * TEXT_MAX {
            return refused("the negotiation does not come to an end".to_owned());
        }
        self.text.extend_from_slice(text);
        let flags = pdu[1];
        if flags & 0x40 != 0 {
            // More text follows; asked for with an empty request.
            return LoginStep::Send(self.request(false, &[]));
        }
        let text = std::mem::take(&mut self.text);
        if let Err(why) = self.take_keys(&text) {
            return refused(why);
        }
        let transit = flags & 0x80 != 0;
        match (self.stage, transit) {
            (Stage::Security, true) => {
                self.stage = Stage::Operational;
                let keys = self.operational_keys();
                LoginStep::Send(self.request(true, &keys))
            }
            (Stage::Operational, true) => self.end(pdu),
            (_, false) => LoginStep::Send(self.request(true, &[])),
        }
    }

    fn take_keys(&mut self, text: &[u8]) -> Result<(), String> {
        for (key, value) in keys(text) {
            if value == "Reject" || value == "NotUnderstood" {
                // Nothing we offer is optional but what a target may not know yet.
                if matches!(key, "DefaultTime2Wait" | "DefaultTime2Retain") {
                    continue;
                }
                return Err(format!("the target answered {key}={value}"));
            }
            let number = || {
                value
                    .parse::<u32>()
                    .map_err(|_| format!("the target answered {key}={value}, not a number"))
            };
            let yes = || match value {
                "Yes" => Ok(true),
                "No" => Ok(false),
                _ => Err(format!("the target answered {key}={value}, not Yes or No")),
            };
            let c = &self.config;
            let p = &mut self.params;
            match key {
                "TargetPortalGroupTag" => {
                    self.group = Some(
                        value
                            .parse()
                            .map_err(|_| format!("TargetPortalGroupTag={value} is no number"))?,
                    );
                }
                "AuthMethod" if value != "None" => {
                    return Err(format!("the target wants {value}, which was not offered"));
                }
                "HeaderDigest" => p.header_digest = digest(key, value)?,
                "DataDigest" => p.data_digest = digest(key, value)?,
                // Each side may only say what restricts further (RFC 7143, 13.10 to 13.17).
                "InitialR2T" => p.initial_r2t = yes()? || c.initial_r2t,
                "ImmediateData" => p.immediate_data = yes()? && c.immediate_data,
                "MaxBurstLength" => p.max_burst = number()?.min(c.max_burst),
                "FirstBurstLength" => p.first_burst = number()?.min(c.first_burst),
                "MaxOutstandingR2T" => p.max_r2t = number()?.clamp(1, 8),
                "MaxRecvDataSegmentLength" => {
                    p.max_send = number()?;
                    if !(512..=0x00ff_ffff).contains(&p.max_send) {
                        return Err(format!("{key}={value} is out of range"));
                    }
                }
                "ErrorRecoveryLevel" if number()? != 0 => {
                    return Err(format!("the target answered {key}={value}, 0 was offered"));
                }
                "DataPDUInOrder" | "DataSequenceInOrder" if !yes()? => {
                    return Err(format!(
                        "the target answered {key}={value}, Yes was offered"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, pdu: &[u8]) -> LoginStep {
        let (c, p) = (&self.config, &mut self.params);
        // Somebody configured them: going on without would be a silent loss of protection, and a
        // digest nobody asked for is not for the target to choose.
        if (p.header_digest, p.data_digest) != (c.header_digest, c.data_digest) {
            return LoginStep::Refused(
                "the target did not agree to the digests asked for: change header_digest= and data_digest=".to_owned(),
            );
        }
        p.first_burst = p.first_burst.min(p.max_burst);
        LoginStep::Done(Done {
            params: *p,
            cmd_sn: CMD_SN,
            exp_stat_sn: self.exp_stat_sn,
            window: (wire::be32(pdu, 28), wire::be32(pdu, 32)),
            target_portal_group: self.group,
        })
    }
}

fn digest(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "CRC32C" => Ok(true),
        "None" => Ok(false),
        _ => Err(format!(
            "the target answered {key}={value}, which was not offered"
        )),
    }
}

fn emit<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (k, v) in pairs {
        out.extend_from_slice(k.as_bytes());
        out.push(b'=');
        out.extend_from_slice(v.as_bytes());
        out.push(0);
    }
    out
}

/// The pairs of a text that are text.
fn keys(text: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    text.split(|b| *b == 0)
        .filter_map(|item| std::str::from_utf8(item).ok()?.split_once('='))
}

fn find(text: &[u8], key: &str) -> Option<String> {
    keys(text)
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v.to_owned())
}

/// Login status (RFC 7143, 11.13.5).
const fn status_name(class: u8, detail: u8, chap: bool) -> &'static str {
    match (class, detail) {
        (2, 1) if chap => "authentication failed: the CHAP name or secret is wrong",
        (2, 1) => "authentication failed: the target wants CHAP",
        (2, 2) => "not authorized: the target does not let this initiator in",
        (2, 3) => "no such target: check the target name",
        (2, 4) => "the target has been removed",
        (2, 5) => "unsupported version",
        (2, 6) => "too many connections",
        (2, 7) => "missing parameter",
        (2, 8) => "cannot include the connection in the session",
        (2, 9) => "session type not supported",
        (2, 0x0a) => "session does not exist",
        (2, 0x0b) => "invalid request during login",
        (2, _) => "initiator error",
        (3, 1) => "service unavailable",
        (3, 2) => "out of resources",
        (3, _) => "target error",
        _ => "unknown status",
    }
}
