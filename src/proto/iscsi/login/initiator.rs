//! The initiator's half of a login.

use super::super::chap::{Algorithm, CHALLENGE_MAX, Challenge, Credentials};
use super::super::pdu::{BHS_LEN, Header, InitiatorSn, LoginRequest, LoginResponse, Opcode};
use super::super::serial::CmdWindow;
use super::super::text::{self, Gather, Outbox, SEGMENT_MAX};
use super::operational::Negotiation;
use super::*;

/// Who logs in where, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitiatorConfig {
    pub initiator_name: String,
    /// None: a discovery session.
    pub target_name: Option<String>,
    pub isid: [u8; 6],
    /// Zero for a new session, else the session that this connection joins.
    pub tsih: u16,
    pub cid: u16,
    /// CmdSN of the login, which the first command of a new session carries too.
    pub cmd_sn: u32,
    /// Who we are to the target. Without `target_chap` a target that asks for nothing is fine too.
    pub chap: Option<Credentials>,
    /// Who the target must prove to be (mutual CHAP); needs `chap`, with another secret.
    pub target_chap: Option<Credentials>,
    /// Algorithms offered, the preferred one first.
    pub algorithms: Vec<Algorithm>,
    pub offer: Offer,
}

impl InitiatorConfig {
    /// A session without authentication.
    pub fn new(initiator_name: &str, target_name: Option<&str>, isid: [u8; 6]) -> Self {
        Self {
            initiator_name: initiator_name.to_owned(),
            target_name: target_name.map(str::to_owned),
            isid,
            tsih: 0,
            cid: 0,
            cmd_sn: 1,
            chap: None,
            target_chap: None,
            algorithms: Algorithm::OFFERED.to_vec(),
            offer: Offer::default(),
        }
    }

    const fn methods(&self) -> &'static str {
        match (&self.chap, &self.target_chap) {
            (None, _) => "None",
            (Some(_), None) => "CHAP,None",
            (Some(_), Some(_)) => "CHAP",
        }
    }
}

/// Where the login stands. Transitions are made in [`InitiatorLogin::text`] only.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// AuthMethod is offered.
    Method,
    /// CHAP_A is offered.
    Algorithm,
    /// Our response is sent; the target's is awaited when mutual.
    Response,
    /// Authenticated, or nothing was asked for: only the transition is missing.
    Proven,
    Operational,
    Over,
}

/// A login of an initiator under way. See the module.
#[derive(Clone, Debug)]
pub struct InitiatorLogin {
    config: InitiatorConfig,
    challenge: Challenge,
    algorithm: Algorithm,
    state: State,
    /// CHAP was used, so a refusal is about it.
    chap_used: bool,
    negotiation: Negotiation,
    gather: Gather,
    out: Outbox,
    /// T of the last request sent.
    asked: bool,
    rounds: u32,
    exp_stat_sn: u32,
    tsih: u16,
    portal_group: Option<u16>,
    target_alias: Option<String>,
}

impl InitiatorLogin {
    /// Begins; the PDU is the first to send.
    pub fn start(config: InitiatorConfig, entropy: [u8; 32]) -> (Self, Vec<u8>) {
        let discovery = config.target_name.is_none();
        let mut login = Self {
            negotiation: Negotiation::new(config.offer, discovery, config.tsih == 0),
            challenge: Challenge::new(&entropy),
            algorithm: Algorithm::Md5,
            state: State::Method,
            chap_used: false,
            gather: Gather::default(),
            out: Outbox::default(),
            asked: false,
            rounds: 0,
            exp_stat_sn: 0,
            tsih: config.tsih,
            portal_group: None,
            target_alias: None,
            config,
        };
        let c = &login.config;
        login.out.push("InitiatorName", &c.initiator_name);
        if let Some(name) = &c.target_name {
            login.out.push("TargetName", name);
        }
        let kind = if discovery { "Discovery" } else { "Normal" };
        login.out.push("SessionType", kind);
        login.out.push("AuthMethod", c.methods());
        let only_none = c.chap.is_none();
        let first = login.request(only_none);
        (login, first)
    }

    const fn stage(&self) -> u8 {
        match self.state {
            State::Operational | State::Over => OPERATIONAL,
            _ => SECURITY,
        }
    }

    /// The next request; T once all text is out and `ready`.
    fn request(&mut self, ready: bool) -> Vec<u8> {
        let (text, cont) = self.out.next(SEGMENT_MAX);
        let csg = self.stage();
        let next = if csg == SECURITY {
            OPERATIONAL
        } else {
            FULL_FEATURE
        };
        self.asked = ready && !cont;
        self.rounds += 1;
        let request = LoginRequest {
            transit: self.asked,
            cont,
            csg,
            nsg: if self.asked { next } else { 0 },
            version_max: 0,
            version_min: 0,
            isid: self.config.isid,
            tsih: self.tsih,
            itt: 0,
            cid: self.config.cid,
            sn: InitiatorSn {
                cmd_sn: self.config.cmd_sn,
                exp_stat_sn: self.exp_stat_sn,
            },
        };
        pdu(&text, |len, out| request.emit(len, out))
    }

    /// Takes a PDU: header and data segment without padding.
    pub fn receive(&mut self, bhs: &[u8; BHS_LEN], data: &[u8]) -> Step {
        match self.take(bhs, data) {
            Ok(step) => step,
            Err(failure) => {
                self.state = State::Over;
                Step::Failed {
                    last: None,
                    failure,
                }
            }
        }
    }

    fn take(&mut self, bhs: &[u8; BHS_LEN], data: &[u8]) -> Result<Step, LoginFailure> {
        let protocol = |what: &str| Err(LoginFailure::Protocol(what.to_owned()));
        let header = Header::parse(bhs).map_err(LoginFailure::Pdu)?;
        if header.opcode != Opcode::LoginResponse {
            return Err(LoginFailure::Protocol(format!(
                "{} in place of a Login Response",
                header.opcode
            )));
        }
        if self.state == State::Over {
            return protocol("a Login Response after the end");
        }
        let r = LoginResponse::parse(bhs).map_err(LoginFailure::Pdu)?;
        if r.status_class != 0 {
            return self.refused(&r, data);
        }
        if r.itt != 0 || r.isid != self.config.isid {
            return protocol("a Login Response that belongs to another login");
        }
        if r.version_active != 0 {
            return Err(LoginFailure::Status(LoginStatus::UnsupportedVersion));
        }
        if self.rounds > 1 && r.sn.stat_sn != self.exp_stat_sn {
            return protocol("a StatSN out of order");
        }
        if r.csg != self.stage() {
            return protocol("the target is in another stage");
        }
        if r.transit && !self.asked {
            return protocol("the target goes on to a stage that nobody asked for");
        }
        let next = if r.csg == SECURITY {
            OPERATIONAL
        } else {
            FULL_FEATURE
        };
        if r.transit && r.nsg != next {
            return protocol("the target goes on to another stage than asked for");
        }
        if self.rounds >= ROUNDS_MAX {
            return Err(LoginFailure::NoEnd);
        }
        self.exp_stat_sn = r.sn.stat_sn.wrapping_add(1);
        let Some(text) = self.gather.take(data, r.cont)? else {
            // More follows; asked for with an empty request.
            return Ok(Step::Send(self.request(false)));
        };
        if !self.out.is_empty() {
            let ready = matches!(self.state, State::Operational | State::Proven);
            return Ok(Step::Send(self.request(ready)));
        }
        self.text(&r, &text)
    }

    fn refused(&self, r: &LoginResponse, data: &[u8]) -> Result<Step, LoginFailure> {
        if r.status_class == 1 {
            let all = text::pairs(data)?;
            let Some((_, address)) = all.iter().find(|(k, _)| *k == "TargetAddress") else {
                return Err(LoginFailure::Missing("TargetAddress of the redirection"));
            };
            return Ok(Step::Redirect {
                address: (*address).to_owned(),
                permanent: r.status_detail == 2,
            });
        }
        let chap = self.config.chap.as_ref();
        Err(LoginFailure::Refused {
            class: r.status_class,
            detail: r.status_detail,
            chap_name: chap.filter(|_| self.chap_used).map(|c| c.name.clone()),
            chap: chap.is_some(),
        })
    }

    fn text(&mut self, r: &LoginResponse, text: &[u8]) -> Result<Step, LoginFailure> {
        let all = text::unique_pairs(text)?;
        let get = |key: &str| all.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        if let Some(tag) = get("TargetPortalGroupTag") {
            let n = text::number(tag).and_then(|n| u16::try_from(n).ok());
            self.portal_group = Some(n.ok_or_else(|| LoginFailure::Value {
                key: "TargetPortalGroupTag".to_owned(),
                value: tag.chars().take(80).collect(),
            })?);
        }
        if let Some(alias) = get("TargetAlias") {
            self.target_alias = Some(alias.chars().take(255).collect());
        }
        match self.state {
            State::Method => self.method(get("AuthMethod"))?,
            State::Algorithm => {
                self.respond(get("CHAP_A"), get("CHAP_I"), get("CHAP_C"))?;
                return Ok(Step::Send(self.request(true)));
            }
            State::Response => {
                if self.config.target_chap.is_some() {
                    self.prove(get("CHAP_N"), get("CHAP_R"))?;
                }
                self.state = State::Proven;
            }
            State::Proven => {}
            State::Operational => {
                for (key, value) in &all {
                    self.negotiation.take(key, value, &mut self.out)?;
                }
            }
            State::Over => {}
        }
        match (self.state, r.transit) {
            (State::Algorithm, false) => {
                let list = Algorithm::list(&self.config.algorithms);
                self.out.push("CHAP_A", &list);
                Ok(Step::Send(self.request(false)))
            }
            (State::Proven, true) => {
                self.state = State::Operational;
                self.negotiation.offer_all(&mut self.out);
                Ok(Step::Send(self.request(true)))
            }
            (State::Operational, true) if self.out.is_empty() => self.end(r),
            (State::Operational | State::Proven, false) => Ok(Step::Send(self.request(true))),
            _ => Err(LoginFailure::Protocol(
                "the target goes on before this stage is finished".to_owned(),
            )),
        }
    }

    fn method(&mut self, method: Option<&str>) -> Result<(), LoginFailure> {
        let offered = self.config.methods();
        // A target that says nothing wants nothing.
        let method = method.unwrap_or("None");
        if !offered.split(',').any(|m| m == method) {
            return Err(LoginFailure::NoCommonMethod {
                offered: format!("AuthMethod {offered}"),
                wanted: method.chars().take(80).collect(),
            });
        }
        self.state = if method == "CHAP" {
            State::Algorithm
        } else {
            State::Proven
        };
        Ok(())
    }

    /// CHAP_N and CHAP_R for the target's challenge, and our challenge when mutual.
    fn respond(
        &mut self,
        algorithm: Option<&str>,
        id: Option<&str>,
        challenge: Option<&str>,
    ) -> Result<(), LoginFailure> {
        let allowed = &self.config.algorithms;
        let none = || LoginFailure::NoCommonMethod {
            offered: format!("CHAP_A {}", Algorithm::list(allowed)),
            wanted: format!("CHAP_A {}", algorithm.unwrap_or("nothing").escape_debug()),
        };
        let algorithm = algorithm
            .and_then(|a| Algorithm::choose(a, allowed))
            .ok_or_else(none)?;
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
        let Some(ours) = &self.config.chap else {
            return Err(LoginFailure::Missing("CHAP credentials"));
        };
        self.algorithm = algorithm;
        self.chap_used = true;
        let response = algorithm.response(id, &ours.secret, &challenge);
        self.out.push("CHAP_N", &ours.name);
        self.out.push("CHAP_R", &text::hex(&response));
        if let Some(target) = &self.config.target_chap {
            // With one secret for both directions the target could have its own challenge answered
            // by us (RFC 7143, 9.2.1).
            if target.secret == ours.secret {
                return Err(LoginFailure::Protocol(
                    "mutual CHAP with the same secret in both directions proves nothing: set two"
                        .to_owned(),
                ));
            }
            self.out.push("CHAP_I", &self.challenge.id.to_string());
            self.out.push("CHAP_C", &text::hex(&self.challenge.bytes));
        }
        self.state = State::Response;
        Ok(())
    }

    fn prove(&self, name: Option<&str>, response: Option<&str>) -> Result<(), LoginFailure> {
        let Some(target) = &self.config.target_chap else {
            return Ok(());
        };
        let right = name == Some(&target.name[..])
            && response.is_some_and(|r| self.challenge.answered(self.algorithm, &target.secret, r));
        if right {
            return Ok(());
        }
        Err(LoginFailure::ChapWrong {
            name: name.unwrap_or("nothing").chars().take(80).collect(),
            who: "target",
        })
    }

    fn end(&mut self, r: &LoginResponse) -> Result<Step, LoginFailure> {
        let params = self.negotiation.finish()?;
        if r.tsih == 0 || (self.config.tsih != 0 && r.tsih != self.config.tsih) {
            return Err(LoginFailure::Protocol(format!(
                "TSIH {:#x} for a session that is up",
                r.tsih
            )));
        }
        self.state = State::Over;
        let c = &self.config;
        Ok(Step::Done {
            last: None,
            negotiated: Box::new(Negotiated {
                params,
                discovery: c.target_name.is_none(),
                initiator_name: c.initiator_name.clone(),
                target_name: c.target_name.clone().unwrap_or_default(),
                target_alias: self.target_alias.clone(),
                isid: c.isid,
                tsih: r.tsih,
                cid: c.cid,
                portal_group: self.portal_group,
                authenticated: c
                    .chap
                    .as_ref()
                    .filter(|_| self.chap_used)
                    .map(|c| c.name.clone()),
                cmd_sn: c.cmd_sn,
                stat_sn: self.exp_stat_sn,
                window: CmdWindow {
                    exp_cmd_sn: r.sn.exp_cmd_sn,
                    max_cmd_sn: r.sn.max_cmd_sn,
                },
            }),
        })
    }
}
