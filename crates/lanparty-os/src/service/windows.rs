//! Windows: the service control manager, by the crate `windows-service`.

use std::{
    env,
    ffi::OsString,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use windows_service::{
    Error, define_windows_service,
    service::{
        PowerEventParam, Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceControl,
        ServiceControlAccept, ServiceErrorControl, ServiceExitCode, ServiceFailureActions,
        ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus, ServiceType,
        SessionChangeReason,
    },
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
    service_manager::{ServiceManager, ServiceManagerAccess},
};
use windows_sys::Win32::Foundation::{
    ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_EXISTS,
};

use super::{Asked, Managed, Registration, ServiceError};

/// A service that has failed is started again after these; the last one is for all later failures too.
const RESTARTS: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
];
/// A service that has run for so long may fail again like one that never has.
const FORGIVEN: Duration = Duration::from_secs(3600);
/// What the manager is told that a start or a stop takes at most: undoing what was done to the machine included.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a service that is to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn install(registration: &Registration) -> Result<Vec<ServiceError>, ServiceError> {
    let program = env::current_exe().map_err(failed("find this program's own path"))?;
    let info = ServiceInfo {
        name: registration.name.into(),
        display_name: registration.title.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: registration.arguments.clone(),
        dependencies: Vec::new(),
        // LocalSystem: adapters, routes and drivers are an administrator's.
        account_name: None,
        account_password: None,
    };
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let service = match manager.create_service(&info, ServiceAccess::ALL_ACCESS) {
        Err(error) if is(&error, ERROR_SERVICE_EXISTS) => {
            let service = open(&manager, registration.name, ServiceAccess::ALL_ACCESS)?;
            stop(&service)?;
            service
                .change_config(&info)
                .map_err(of("change what the service is started with"))?;
            service
        }
        created => created.map_err(of("register the service"))?,
    };
    let extras = [
        service
            .set_description(registration.description)
            .map_err(of("describe the service")),
        service
            .update_failure_actions(restarts())
            .map_err(of("have the service started again when it fails")),
        service
            .set_failure_actions_on_non_crash_failures(true)
            .map_err(of("have the service started again when it ends with an error")),
    ];
    start(&service)?;
    Ok(extras.into_iter().filter_map(Result::err).collect())
}

/// One that has stopped counts as a running one until its process has gone; it is started then.
fn start(service: &Service) -> Result<(), ServiceError> {
    const ATTEMPT: &str = "start the service";
    let begun = Instant::now();
    loop {
        match service.start::<OsString>(&[]) {
            Ok(()) => return Ok(()),
            Err(error) if !is(&error, ERROR_SERVICE_ALREADY_RUNNING) => return Err(of(ATTEMPT)(error)),
            Err(_) => {}
        }
        let state = service.query_status().map_err(of(ATTEMPT))?.current_state;
        if matches!(state, ServiceState::Running | ServiceState::StartPending) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(failed(ATTEMPT)(io::ErrorKind::TimedOut.into()));
        }
        thread::sleep(LOOK);
    }
}

fn restarts() -> ServiceFailureActions {
    let restart = |delay| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay,
    };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGIVEN),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTS.map(restart).to_vec()),
    }
}

pub(super) fn uninstall(name: &str) -> Result<bool, ServiceError> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let rights = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    let service = match manager.open_service(name, rights) {
        Err(error) if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) => return Ok(false),
        opened => opened.map_err(of("open the service"))?,
    };
    stop(&service)?;
    service.delete().map_err(of("take the service off"))?;
    Ok(true)
}

/// Asks it to stop, and waits until it has.
fn stop(service: &Service) -> Result<(), ServiceError> {
    const ATTEMPT: &str = "stop the service";
    let start = Instant::now();
    let mut is_asked = false;
    loop {
        let status = service.query_status().map_err(of(ATTEMPT))?;
        if status.current_state == ServiceState::Stopped {
            return Ok(());
        }
        // One that is being started takes no orders yet.
        if !is_asked && status.current_state == ServiceState::Running {
            let asked = service.stop();
            let now = service.query_status().map_err(of(ATTEMPT))?.current_state;
            match asked {
                // Some end before their answer is out, or have ended by themselves.
                Err(error) if now == ServiceState::Running => return Err(of(ATTEMPT)(error)),
                Ok(_) | Err(_) => is_asked = true,
            }
        }
        if start.elapsed() > 2 * PATIENCE {
            return Err(failed(ATTEMPT)(io::ErrorKind::TimedOut.into()));
        }
        thread::sleep(LOOK);
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, ServiceError> {
    ServiceManager::local_computer(None::<&str>, access).map_err(of("reach Windows' service manager"))
}

fn open(manager: &ServiceManager, name: &str, access: ServiceAccess) -> Result<Service, ServiceError> {
    manager.open_service(name, access).map_err(of("open the service"))
}

type Main = Box<dyn FnOnce(Managed) -> i32 + Send>;

/// What the manager's thread calls; it hands nothing over, so it lies here.
static MAIN: Mutex<Option<(&'static str, Main)>> = Mutex::new(None);

define_windows_service!(enter, begin);

pub(super) fn run(name: &'static str, main: Main) -> Result<(), ServiceError> {
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, main));
    service_dispatcher::start(name, enter)
        .map_err(of("be a service; only Windows' service manager can start one"))
}

fn begin(_arguments: Vec<OsString>) {
    let Some((name, main)) = MAIN.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    let manager = Manager::default();
    let (ask, asked) = watch::channel(Asked::default());
    let ordered = manager.clone();
    let handle =
        service_control_handler::register(name, move |control| handle_control(control, &ask, &ordered));
    match handle {
        // It is set once.
        Ok(handle) => drop(manager.0.set(handle)),
        Err(error) => return tracing::error!(%error, "the service manager does not know this service"),
    }
    manager.tell(ServiceState::StartPending, ServiceExitCode::NO_ERROR);
    let code = main(Managed {
        asked,
        manager: manager.clone(),
    });
    let code = match u32::try_from(code) {
        Ok(0) => ServiceExitCode::NO_ERROR,
        Ok(code) => ServiceExitCode::ServiceSpecific(code),
        Err(_) => ServiceExitCode::ServiceSpecific(1),
    };
    manager.tell(ServiceState::Stopped, code);
}

fn handle_control(
    control: ServiceControl,
    ask: &watch::Sender<Asked>,
    manager: &Manager,
) -> ServiceControlHandlerResult {
    match effect(control) {
        Effect::Stop => {
            manager.tell(ServiceState::StopPending, ServiceExitCode::NO_ERROR);
            ask.send_modify(|asked| asked.stop = true);
        }
        Effect::Wake => ask.send_modify(|asked| asked.woken = asked.woken.wrapping_add(1)),
        Effect::None => {}
        Effect::Unknown => return ServiceControlHandlerResult::NotImplemented,
    }
    ServiceControlHandlerResult::NoError
}

#[derive(PartialEq, Eq, Debug)]
enum Effect {
    Stop,
    Wake,
    None,
    Unknown,
}

fn effect(control: ServiceControl) -> Effect {
    match control {
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => Effect::Stop,
        ServiceControl::PowerEvent(
            PowerEventParam::ResumeAutomatic
            | PowerEventParam::ResumeSuspend
            | PowerEventParam::ResumeCritical,
        ) => Effect::Wake,
        // Some Wi-Fi is a user's own, and comes and goes with him.
        ServiceControl::SessionChange(change)
            if matches!(
                change.reason,
                SessionChangeReason::SessionLogon | SessionChangeReason::SessionUnlock
            ) =>
        {
            Effect::Wake
        }
        ServiceControl::PowerEvent(_) | ServiceControl::SessionChange(_) | ServiceControl::Interrogate => {
            Effect::None
        }
        // What was not said to be accepted; the list may grow.
        _ => Effect::Unknown,
    }
}

/// Tells the manager how it goes. Nothing is told before there is a handle for it.
#[derive(Clone, Default)]
pub(super) struct Manager(Arc<OnceLock<ServiceStatusHandle>>);

impl Manager {
    pub(super) fn ready(&self) {
        self.tell(ServiceState::Running, ServiceExitCode::NO_ERROR);
    }

    fn tell(&self, state: ServiceState, exit_code: ServiceExitCode) {
        let Some(handle) = self.0.get() else {
            return;
        };
        let is_pending = matches!(state, ServiceState::StartPending | ServiceState::StopPending);
        let status = ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted: accepted(state),
            exit_code,
            checkpoint: 0,
            wait_hint: if is_pending { PATIENCE } else { Duration::ZERO },
            process_id: None,
        };
        if let Err(error) = handle.set_service_status(status) {
            tracing::warn!(?error, ?state, "the service manager was not told");
        }
    }
}

fn accepted(state: ServiceState) -> ServiceControlAccept {
    match state {
        ServiceState::Running => {
            ServiceControlAccept::STOP
                | ServiceControlAccept::PRESHUTDOWN
                | ServiceControlAccept::POWER_EVENT
                | ServiceControlAccept::SESSION_CHANGE
        }
        ServiceState::Stopped
        | ServiceState::StartPending
        | ServiceState::StopPending
        | ServiceState::ContinuePending
        | ServiceState::PausePending
        | ServiceState::Paused => ServiceControlAccept::empty(),
    }
}

fn is(error: &Error, code: u32) -> bool {
    matches!(error, Error::Winapi(error) if error.raw_os_error() == Some(code.cast_signed()))
}

/// The crate's own error for a call does not say what Windows has said.
fn of(attempt: &'static str) -> impl FnOnce(Error) -> ServiceError {
    move |error| {
        failed(attempt)(match error {
            Error::Winapi(error) => error,
            other => io::Error::other(other),
        })
    }
}

fn failed(attempt: &'static str) -> impl FnOnce(io::Error) -> ServiceError {
    move |source| ServiceError::Failed { attempt, source }
}

#[cfg(test)]
mod tests {
    use windows_service::service::{SessionChangeParam, SessionNotification};

    use super::*;

    #[test]
    fn a_shutdown_is_an_order_to_stop_and_waking_up_is_none() {
        for control in [
            ServiceControl::Stop,
            ServiceControl::Shutdown,
            ServiceControl::Preshutdown,
        ] {
            assert_eq!(effect(control), Effect::Stop, "{control:?}");
        }
        let power = |event| effect(ServiceControl::PowerEvent(event));
        assert_eq!(power(PowerEventParam::ResumeAutomatic), Effect::Wake);
        assert_eq!(power(PowerEventParam::Suspend), Effect::None);
        let session = |reason| {
            effect(ServiceControl::SessionChange(SessionChangeParam {
                reason,
                notification: SessionNotification {
                    size: 8,
                    session_id: 1,
                },
            }))
        };
        assert_eq!(session(SessionChangeReason::SessionUnlock), Effect::Wake);
        assert_eq!(session(SessionChangeReason::SessionLock), Effect::None);
        assert_eq!(effect(ServiceControl::Interrogate), Effect::None);
        assert_eq!(effect(ServiceControl::Pause), Effect::Unknown);
    }

    #[test]
    fn who_was_not_started_by_the_manager_is_told_so() {
        let error = run("lanparty-test", Box::new(|_| 0)).unwrap_err().to_string();
        assert!(error.contains("service manager"), "{error}");
    }
}
