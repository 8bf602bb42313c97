//! A handle as what the object models work on.

use super::ControlHandle;
use crate::control::command::{Answer, Command, CommandError, ObjectAnswer, ObjectCommand};
use crate::control::view::changes::{NewConnection, SessionPath};
use crate::control::view::{
    CacheState, ChangeError, Changes, CounterScope, HardwareId, McsPolicy, MpioTimers, View, Views,
};
use crate::lun::policy::defaults::Setting;
use crate::lun::policy::{NtStatus, SetRequest, VendorPolicy};
use std::sync::Arc;

impl ControlHandle {
    fn object(&self, command: ObjectCommand) -> Result<ObjectAnswer, ChangeError> {
        match self.run(Command::Object(command)) {
            Ok(Answer::Object(answer)) => Ok(answer),
            Ok(_) => Err(ChangeError::Failed("no answer of an object".to_owned())),
            Err(CommandError::Change(e)) => Err(e),
            Err(CommandError::Stopping) => Err(ChangeError::Stopping),
            Err(e) => Err(ChangeError::Failed(e.to_string())),
        }
    }

    fn change(&self, command: ObjectCommand) -> Result<(), ChangeError> {
        self.object(command).map(drop)
    }
}

impl Views for ControlHandle {
    fn view(&self) -> Arc<View> {
        match self.object(ObjectCommand::View) {
            Ok(ObjectAnswer::View(view)) => view,
            _ => {
                // Nobody is there to ask: what is known cannot be trusted.
                let mut cache = CacheState::default();
                cache.corrupt("the daemon is stopping");
                let mut view = View::default();
                view.provider.cache = cache;
                view.provider.exiting = true;
                Arc::new(view)
            }
        }
    }
}

impl Changes for ControlHandle {
    fn set_policy(&self, lun: &str, request: &SetRequest) -> Result<NtStatus, ChangeError> {
        let command = ObjectCommand::SetPolicy {
            lun: lun.to_owned(),
            request: request.clone(),
        };
        match self.object(command)? {
            ObjectAnswer::Status(status) => Ok(status),
            _ => Err(ChangeError::Failed("no status came back".to_owned())),
        }
    }

    fn set_vendor_policy(
        &self,
        lun: &str,
        vendor: VendorPolicy,
        weights: &[(u64, u32)],
    ) -> Result<(), ChangeError> {
        self.change(ObjectCommand::SetVendor {
            lun: lun.to_owned(),
            vendor,
            weights: weights.to_vec(),
        })
    }

    fn set_engine_default(&self, setting: Option<Setting>) -> Result<(), ChangeError> {
        self.change(ObjectCommand::EngineDefault(setting))
    }

    fn set_target_default(
        &self,
        hardware: &HardwareId,
        setting: Option<Setting>,
    ) -> Result<(), ChangeError> {
        self.change(ObjectCommand::TargetDefault(hardware.clone(), setting))
    }

    fn set_timers(&self, timers: MpioTimers) -> Result<(), ChangeError> {
        self.change(ObjectCommand::Timers(timers))
    }

    fn clear_counters(&self, scope: CounterScope) -> Result<(), ChangeError> {
        self.change(ObjectCommand::ClearCounters(scope))
    }

    fn set_session_policy(
        &self,
        session: u64,
        policy: McsPolicy,
        connections: &[SessionPath],
    ) -> Result<(), ChangeError> {
        self.change(ObjectCommand::SessionPolicy {
            session,
            policy,
            connections: connections.to_vec(),
        })
    }

    fn add_connection(&self, session: u64, new: &NewConnection) -> Result<u64, ChangeError> {
        let new = new.clone();
        match self.object(ObjectCommand::AddConnection { session, new })? {
            ObjectAnswer::Id(id) => Ok(id),
            _ => Err(ChangeError::Failed("no id came back".to_owned())),
        }
    }

    fn remove_connection(&self, session: u64, connection: u64) -> Result<(), ChangeError> {
        self.change(ObjectCommand::RemoveConnection {
            session,
            connection,
        })
    }

    fn reenumerate(&self) -> Result<(), ChangeError> {
        self.change(ObjectCommand::Reenumerate)
    }

    fn refresh(&self) -> Result<(), ChangeError> {
        self.change(ObjectCommand::Refresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::daemon::Control;
    use crate::control::registry::kit::registry;
    use crate::control::vds::{Failure, HResult, mpio, service};
    use crate::control::view::ids;
    use crate::lun::policy::SetMethod;

    /// What whoever still has a handle is told by a daemon that takes no more commands.
    #[test]
    fn a_daemon_that_stops_is_a_provider_that_exits() {
        let (registry, dir) = registry("exits");
        let mut control = Control::new(registry);
        let handle = control.handle();
        control.refuse();
        let exiting = Err(HResult::VDS_E_PROVIDER_EXITING);
        let lun = ids::lun(&View::default().host, "a");
        let code = |done: Result<(), Failure>| done.map_err(|e| e.hresult);
        assert_eq!(code(service::refresh(&handle)), exiting);
        assert_eq!(code(service::reenumerate(&handle)), exiting);
        assert_eq!(code(mpio::get_path_info(&handle, lun).map(drop)), exiting);
        let request = SetRequest::new(SetMethod::Alua, 0, Vec::new());
        assert_eq!(handle.set_policy("a", &request), Err(ChangeError::Stopping));
        control.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
