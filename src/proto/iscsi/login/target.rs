//! The target's half of a login.

use super::super::chap::{Algorithm, CHALLENGE_MAX, Challenge, Credentials};
use super::super::pdu::{BHS_LEN, Header, LoginRequest, LoginResponse, Opcode, TargetSn};
use super::super::text::{self, Gather, Outbox, SEGMENT_MAX};
use super::operational::Negotiation;
use super::*;

/// What a portal is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetConfig {
    pub offer: Offer,
    pub portal_group: u16,
    /// Commands a session may have outstanding: the size of the first command window.
    pub depth: u32,
    /// Algorithms taken.
    pub algorithms: Vec<Algorithm>,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            offer: Offer::default(),
            portal_group: 1,
            depth: 128,
            algorithms: Algorithm::ALL.to_vec(),
        }
    }
}

/// How a target may be logged in to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    pub alias: Option<String>,
    /// Who an initiator must prove to be; empty: anybody.
    pub chap: Vec<Credentials>,
    /// Who we are to an initiator that asks (mutual CHAP).
    pub ours: Option<Credentials>,
}

/// What a finished login asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    pub initiator_name: String,
    /// None: a discovery session.
    pub target_name: Option<String>,
    pub isid: [u8; 6],
    /// Zero: a new session, which replaces one of the same initiator port (RFC 7143, 6.3.5).
    pub tsih: u16,
    pub cid: u16,
    /// What a leading login has agreed on; 1 in a further one.
    pub max_connections: u16,
}

/// What the request amounts to, once sessions are looked through (RFC 7143, 6.3.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// A new session.
    New,
    /// A new session in the place of that one, whose tasks are ended first (session reinstatement).
    Reinstate { old: u16 },
    /// A further connection of that session.
    Join { tsih: u16 },
    /// A connection in the place of one with the same CID (connection reinstatement).
    Replace { tsih: u16 },
    /// A TSIH that is not there.
    NoSession,
}

impl SessionRequest {
    /// Looks through the sessions of the same target and portal group that are up: initiator name,
    /// ISID, TSIH, and whether the CID is in use there.
    pub fn admission<'a>(
        &self,
        sessions: impl IntoIterator<Item = (&'a str, [u8; 6], u16, bool)>,
    ) -> Admission {
        let same = |(name, isid, ..): &(&str, [u8; 6], u16, bool)| {
            *name == self.initiator_name && *isid == self.isid
        };
        match (self.tsih, sessions.into_iter().find(same)) {
            (0, None) => Admission::New,
            (0, Some((_, _, old, _))) => Admission::Reinstate { old },
            (t, Some((_, _, tsih, cid))) if t == tsih => {
                if cid {
                    Admission::Replace { tsih }
                } else {
                    Admission::Join { tsih }
                }
            }
            _ => Admission::NoSession,
        }
    }
}

/// A session that a login made or joined.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Not zero.
    pub tsih: u16,
    /// The command window of a session that was there already; None: a new one.
    pub window: Option<CmdWindow>,
}

/// What the login needs to know about the side that serves.
pub trait Directory {
    /// May that initiator log in to that target (None: for discovery), and how?
    ///
    /// # Errors
    /// NotFound, AuthorizationFailure, or any other status; a redirection goes with
    /// [`Directory::moved`].
    fn access(
        &self,
        target_name: Option<&str>,
        initiator_name: &str,
    ) -> Result<Access, LoginStatus>;

    /// Where the initiator shall go instead, as TargetAddress, and whether for good.
    fn moved(&self, _target_name: &str, _initiator_name: &str) -> Option<(String, bool)> {
        None
    }

    /// A login is complete but for the answer: makes, joins or replaces the session.
    ///
    /// # Errors
    /// SessionDoesNotExist, TooManyConnections, OutOfResources and the like.
    fn open(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus>;
}

/// Where the login stands. Transitions are made in [`TargetLogin::security`] and
/// [`TargetLogin::transit`] only.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Waits for names and AuthMethod.
    Method,
    /// CHAP is agreed on, CHAP_A is awaited.
    Algorithm,
    /// A challenge is out.
    Response,
    Proven,
    Operational,
    Over,
}

/// What the first request fixed for all.
#[derive(Clone, Debug)]
struct Peer {
    isid: [u8; 6],
    tsih: u16,
    cid: u16,
    itt: u32,
    cmd_sn: u32,
}

/// A login at a target under way. See the module.
#[derive(Clone, Debug)]
pub struct TargetLogin {
    config: TargetConfig,
    challenge: Challenge,
    algorithm: Algorithm,
    state: State,
    peer: Option<Peer>,
    initiator_name: String,
    target_name: Option<String>,
    /// The names are known and access was looked up.
    access: Option<Access>,
    authenticated: Option<String>,
    negotiation: Negotiation,
    gather: Gather,
    out: Outbox,
    rounds: u32,
    stat_sn: u32,
}

impl TargetLogin {
    pub fn new(config: TargetConfig, entropy: [u8; 32]) -> Self {
        let sn = [entropy[28], entropy[29], entropy[30], entropy[31]];
        Self {
            negotiation: Negotiation::new(config.offer, false, true),
            challenge: Challenge::new(&entropy),
            algorithm: Algorithm::Md5,
            state: State::Method,
            peer: None,
            initiator_name: String::new(),
            target_name: None,
            access: None,
            authenticated: None,
            gather: Gather::default(),
            out: Outbox::default(),
            rounds: 0,
            stat_sn: u32::from_be_bytes(sn),
            config,
        }
    }

    /// The initiator's name, once it was said; for logs.
    pub fn initiator_name(&self) -> &str {
        &self.initiator_name
    }

    /// Takes a PDU: header and data segment without padding.
    pub fn receive(
        &mut self,
        bhs: &[u8; BHS_LEN],
        data: &[u8],
        directory: &mut dyn Directory,
    ) -> Step {
        let header = match Header::parse(bhs) {
            Ok(h) if h.opcode == Opcode::LoginRequest => h,
            Ok(h) => {
                // Nothing but a login may come here; to the point, and no answer (RFC 7143, 6.3).
                self.state = State::Over;
                return Step::Failed {
                    last: None,
                    failure: LoginFailure::Protocol(format!(
                        "{} before the login is over",
                        h.opcode
                    )),
                };
            }
            Err(e) => {
                self.state = State::Over;
                return Step::Failed {
                    last: None,
                    failure: LoginFailure::Pdu(e),
                };
            }
        };
        match self.take(bhs, data, directory) {
            Ok(step) => step,
            Err(failure) => {
                self.state = State::Over;
                let last = Some(self.status_pdu(bhs, header.itt, failure.status(), &[]));
                Step::Failed { last, failure }
            }
        }
    }

    fn status_pdu(
        &self,
        bhs: &[u8; BHS_LEN],
        itt: u32,
        status: LoginStatus,
        text: &[u8],
    ) -> Vec<u8> {
        let mut isid = [0; 6];
        isid.copy_from_slice(&bhs[8..14]);
        let response = LoginResponse {
            transit: false,
            cont: false,
            csg: 0,
            nsg: 0,
            version_max: 0,
            version_active: 0,
            isid,
            tsih: u16::from_be_bytes([bhs[14], bhs[15]]),
            itt,
            sn: TargetSn {
                stat_sn: self.stat_sn,
                ..TargetSn::default()
            },
            status_class: status.class(),
            status_detail: status.detail(),
        };
        pdu(text, |len, out| response.emit(len, out))
    }

    fn take(
        &mut self,
        bhs: &[u8; BHS_LEN],
        data: &[u8],
        directory: &mut dyn Directory,
    ) -> Result<Step, LoginFailure> {
        let protocol = |what: &str| Err(LoginFailure::Protocol(what.to_owned()));
        if self.state == State::Over {
            return protocol("a Login Request after the end");
        }
        let r = LoginRequest::parse(bhs).map_err(LoginFailure::Pdu)?;
        if r.version_min > 0 {
            return Err(LoginFailure::Status(LoginStatus::UnsupportedVersion));
        }
        self.same_login(&r)?;
        self.rounds += 1;
        if self.rounds >= ROUNDS_MAX {
            return Err(LoginFailure::NoEnd);
        }
        let Some(text) = self.gather.take(data, r.cont)? else {
            return Ok(self.respond(None, 0));
        };
        let next = r.transit.then_some(r.nsg);
        if !self.out.is_empty() {
            // Text of ours goes on; the initiator has nothing to say meanwhile.
            if !text.is_empty() {
                return protocol("text while ours goes on");
            }
            return self.transit(next, directory);
        }
        let all = text::unique_pairs(&text)?;
        if self.access.is_none()
            && let Some(step) = self.begin(&r, bhs, &all, directory)?
        {
            return Ok(step);
        }
        match r.csg {
            SECURITY => self.security(&all)?,
            _ => {
                if self.state == State::Operational {
                    self.operational(&all)?;
                } else {
                    return protocol("the operational stage before the security stage is over");
                }
            }
        }
        self.transit(next, directory)
    }

    /// The fields that stay from the first request to the last, and stages that fit ours.
    fn same_login(&mut self, r: &LoginRequest) -> Result<(), LoginFailure> {
        let Some(p) = &self.peer else {
            self.peer = Some(Peer {
                isid: r.isid,
                tsih: r.tsih,
                cid: r.cid,
                itt: r.itt,
                cmd_sn: r.sn.cmd_sn,
            });
            if r.csg == OPERATIONAL {
                // Without a security stage nothing is proven; `begin` sees whether it has to be.
                self.state = State::Operational;
            }
            return Ok(());
        };
        let stage = if self.state == State::Operational {
            OPERATIONAL
        } else {
            SECURITY
        };
        let same = (p.isid, p.tsih, p.cid) == (r.isid, r.tsih, r.cid);
        if !same || p.itt != r.itt || r.csg != stage {
            return Err(LoginFailure::Protocol(
                "ISID, TSIH, CID, task tag or stage changed on the way".to_owned(),
            ));
        }
        Ok(())
    }

    /// Names and session type of the first text.
    fn begin(
        &mut self,
        r: &LoginRequest,
        bhs: &[u8; BHS_LEN],
        all: &[(&str, &str)],
        directory: &dyn Directory,
    ) -> Result<Option<Step>, LoginFailure> {
        let get = |key: &str| all.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let name = |key: &'static str| match get(key) {
            Some(v) if v.is_empty() || v.len() > 223 => Err(LoginFailure::Value {
                key: key.to_owned(),
                value: v.chars().take(80).collect(),
            }),
            other => Ok(other.map(str::to_owned)),
        };
        self.initiator_name =
            name("InitiatorName")?.ok_or(LoginFailure::Missing("InitiatorName"))?;
        let discovery = match get("SessionType") {
            None | Some("Normal") => false,
            Some("Discovery") => true,
            Some(_) => return Err(LoginFailure::Status(LoginStatus::SessionTypeNotSupported)),
        };
        let target = name("TargetName")?;
        if !discovery && target.is_none() {
            return Err(LoginFailure::Missing("TargetName"));
        }
        // A discovery session that names a target is one about that target (RFC 7143, 4.3).
        self.target_name = if discovery { None } else { target };
        if let Some(target) = &self.target_name
            && let Some((address, for_good)) = directory.moved(target, &self.initiator_name)
        {
            let status = if for_good {
                LoginStatus::MovedPermanently
            } else {
                LoginStatus::MovedTemporarily
            };
            let mut text = Vec::new();
            text::push(&mut text, "TargetAddress", &address);
            self.state = State::Over;
            return Ok(Some(Step::Failed {
                last: Some(self.status_pdu(bhs, r.itt, status, &text)),
                failure: LoginFailure::Status(status),
            }));
        }
        let access = directory
            .access(self.target_name.as_deref(), &self.initiator_name)
            .map_err(LoginFailure::Status)?;
        if self.state == State::Operational && !access.chap.is_empty() {
            return Err(LoginFailure::NoCommonMethod {
                offered: "no security stage".to_owned(),
                wanted: "CHAP".to_owned(),
            });
        }
        if !discovery {
            let tag = self.config.portal_group.to_string();
            self.out.push("TargetPortalGroupTag", &tag);
            if let Some(alias) = &access.alias {
                self.out.push("TargetAlias", alias);
            }
        }
        self.negotiation = Negotiation::new(self.config.offer, discovery, r.tsih == 0);
        self.access = Some(access);
        Ok(None)
    }

    fn security(&mut self, all: &[(&str, &str)]) -> Result<(), LoginFailure> {
        let get = |key: &str| all.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        match self.state {
            State::Method => match get("AuthMethod") {
                Some(offer) => self.method(offer)?,
                None => self.unproven("nothing")?,
            },
            State::Algorithm => {
                let offer = get("CHAP_A").ok_or(LoginFailure::Missing("CHAP_A"))?;
                let allowed = &self.config.algorithms;
                self.algorithm = Algorithm::choose(offer, allowed).ok_or_else(|| {
                    LoginFailure::NoCommonMethod {
                        offered: format!("CHAP_A {}", offer.escape_debug()),
                        wanted: format!("CHAP_A {}", Algorithm::list(allowed)),
                    }
                })?;
                let number = (self.algorithm as u8).to_string();
                self.out.push("CHAP_A", &number);
                self.out.push("CHAP_I", &self.challenge.id.to_string());
                self.out.push("CHAP_C", &text::hex(&self.challenge.bytes));
                self.state = State::Response;
            }
            State::Response => {
                self.prove(get("CHAP_N"), get("CHAP_R"))?;
                match (get("CHAP_I"), get("CHAP_C")) {
                    (None, None) => {}
                    (id, challenge) => self.prove_ourselves(id, challenge)?,
                }
                self.state = State::Proven;
            }
            State::Proven | State::Operational | State::Over => {}
        }
        // A key that has nothing to do with security waits for its stage; an unknown one is told.
        for (key, value) in all {
            let known = super::super::keys::Key::from_name(key).is_some();
            if !known && !key.starts_with("CHAP_") {
                self.negotiation.take(key, value, &mut self.out)?;
            }
        }
        Ok(())
    }

    fn must_prove(&self) -> bool {
        self.access.as_ref().is_some_and(|a| !a.chap.is_empty())
    }

    /// No method: fine where nobody has to prove anything.
    fn unproven(&mut self, offered: &str) -> Result<(), LoginFailure> {
        if self.must_prove() {
            return Err(LoginFailure::NoCommonMethod {
                offered: format!("AuthMethod {}", offered.escape_debug()),
                wanted: "CHAP".to_owned(),
            });
        }
        self.state = State::Proven;
        Ok(())
    }

    fn method(&mut self, offer: &str) -> Result<(), LoginFailure> {
        let offered = |method| offer.split(',').any(|m| m == method);
        if self.must_prove() {
            if !offered("CHAP") {
                return self.unproven(offer);
            }
            self.out.push("AuthMethod", "CHAP");
            self.state = State::Algorithm;
            return Ok(());
        }
        if !offered("None") {
            return Err(LoginFailure::NoCommonMethod {
                offered: format!("AuthMethod {}", offer.escape_debug()),
                wanted: "None".to_owned(),
            });
        }
        self.out.push("AuthMethod", "None");
        self.unproven(offer)
    }

    fn prove(&mut self, name: Option<&str>, response: Option<&str>) -> Result<(), LoginFailure> {
        let name = name.ok_or(LoginFailure::Missing("CHAP_N"))?;
        let response = response.ok_or(LoginFailure::Missing("CHAP_R"))?;
        let known = self.access.as_ref().map_or(&[][..], |a| &a.chap);
        let (challenge, algorithm) = (&self.challenge, self.algorithm);
        // All are tried, so that the time does not tell whether the name is known.
        let right = known.iter().fold(false, |right, c| {
            right | (challenge.answered(algorithm, &c.secret, response) & (c.name == name))
        });
        if !right {
            return Err(LoginFailure::ChapWrong {
                name: name.chars().take(80).collect(),
                who: "initiator",
            });
        }
        self.authenticated = Some(name.to_owned());
        Ok(())
    }

    fn prove_ourselves(
        &mut self,
        id: Option<&str>,
        challenge: Option<&str>,
    ) -> Result<(), LoginFailure> {
        let id = id
            .and_then(text::number)
            .and_then(|n| u8::try_from(n).ok())
            .ok_or(LoginFailure::Missing("a valid CHAP_I"))?;
        let challenge = challenge
            .and_then(|c| text::binary(c, CHALLENGE_MAX))
            .ok_or(LoginFailure::Missing("a valid CHAP_C"))?;
        if challenge == self.challenge.bytes {
            return Err(LoginFailure::ChapReflected);
        }
        let Some(ours) = self.access.as_ref().and_then(|a| a.ours.as_ref()) else {
            return Err(LoginFailure::NoCommonMethod {
                offered: "mutual CHAP".to_owned(),
                wanted: "one-way CHAP: this target has no secret of its own".to_owned(),
            });
        };
        let response = self.algorithm.response(id, &ours.secret, &challenge);
        self.out.push("CHAP_N", &ours.name);
        self.out.push("CHAP_R", &text::hex(&response));
        Ok(())
    }

    fn operational(&mut self, all: &[(&str, &str)]) -> Result<(), LoginFailure> {
        for (key, value) in all {
            match *key {
                // Said in the first text, without a security stage.
                "InitiatorName" | "TargetName" | "SessionType" | "InitiatorAlias" => {}
                "AuthMethod" => {
                    return Err(LoginFailure::Protocol(
                        "AuthMethod in the operational stage".to_owned(),
                    ));
                }
                _ => self.negotiation.take(key, value, &mut self.out)?,
            }
        }
        self.negotiation.declare(&mut self.out);
        Ok(())
    }

    /// Answers, and goes on to the stage that the initiator asks for where nothing is open here.
    fn transit(
        &mut self,
        next: Option<u8>,
        directory: &mut dyn Directory,
    ) -> Result<Step, LoginFailure> {
        let Some(next) = next else {
            return Ok(self.respond(None, 0));
        };
        if !matches!(self.state, State::Proven | State::Operational) {
            return Ok(self.respond(None, 0));
        }
        if self.state == State::Operational && self.negotiation.offer_limits(&mut self.out) {
            return Ok(self.respond(None, 0));
        }
        if next == OPERATIONAL {
            let step = self.respond(Some(OPERATIONAL), 0);
            if self.out.is_empty() {
                self.state = State::Operational;
            }
            return Ok(step);
        }
        if self.out.fits(SEGMENT_MAX) {
            return self.end(directory);
        }
        Ok(self.respond(None, 0))
    }

    fn respond(&mut self, transit: Option<u8>, tsih: u16) -> Step {
        let csg = if self.state == State::Operational {
            OPERATIONAL
        } else {
            SECURITY
        };
        let (text, cont) = self.out.next(SEGMENT_MAX);
        let transit = transit.filter(|_| !cont);
        let Some(p) = &self.peer else {
            unreachable!("an answer before a request")
        };
        let response = LoginResponse {
            transit: transit.is_some(),
            cont,
            csg,
            nsg: transit.unwrap_or(0),
            version_max: 0,
            version_active: 0,
            isid: p.isid,
            tsih: if tsih == 0 { p.tsih } else { tsih },
            itt: p.itt,
            sn: TargetSn {
                stat_sn: self.stat_sn,
                exp_cmd_sn: p.cmd_sn,
                // The window of a session that is there is told by the last answer; until then
                // this says nothing about it.
                max_cmd_sn: match p.tsih {
                    0 => p.cmd_sn.wrapping_add(self.config.depth.max(1) - 1),
                    _ => p.cmd_sn.wrapping_sub(1),
                },
            },
            status_class: 0,
            status_detail: 0,
        };
        self.stat_sn = self.stat_sn.wrapping_add(1);
        Step::Send(pdu(&text, |len, out| response.emit(len, out)))
    }

    fn end(&mut self, directory: &mut dyn Directory) -> Result<Step, LoginFailure> {
        let params = self.negotiation.finish()?;
        let Some(p) = self.peer.clone() else {
            unreachable!("an end before a request")
        };
        let request = SessionRequest {
            initiator_name: self.initiator_name.clone(),
            target_name: self.target_name.clone(),
            isid: p.isid,
            tsih: p.tsih,
            cid: p.cid,
            max_connections: params.max_connections,
        };
        let opened = directory.open(&request).map_err(LoginFailure::Status)?;
        let window = opened.window.unwrap_or(CmdWindow {
            exp_cmd_sn: p.cmd_sn,
            max_cmd_sn: p.cmd_sn.wrapping_add(self.config.depth.max(1) - 1),
        });
        let Step::Send(mut last) = self.respond(Some(FULL_FEATURE), opened.tsih) else {
            unreachable!("an answer is to be sent")
        };
        last[28..32].copy_from_slice(&window.exp_cmd_sn.to_be_bytes());
        last[32..36].copy_from_slice(&window.max_cmd_sn.to_be_bytes());
        self.state = State::Over;
        Ok(Step::Done {
            last: Some(last),
            negotiated: Box::new(Negotiated {
                params,
                discovery: self.target_name.is_none(),
                initiator_name: std::mem::take(&mut self.initiator_name),
                target_name: self.target_name.take().unwrap_or_default(),
                target_alias: self.access.as_ref().and_then(|a| a.alias.clone()),
                isid: p.isid,
                tsih: opened.tsih,
                cid: p.cid,
                portal_group: Some(self.config.portal_group),
                authenticated: self.authenticated.take(),
                cmd_sn: p.cmd_sn,
                stat_sn: self.stat_sn,
                window,
            }),
        })
    }
}
