//! A model of the kernel's control groups, for tests: of v1, and of v2 with
//! its threaded groups, which a machine that runs the tests need not have.

mod rules;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::cgroup::CgroupVersion;
use super::files::Files;
use super::files::libc_errno::EBUSY;

/// The model; all of it can be changed from outside, as others would.
#[derive(Debug)]
pub(crate) struct FakeKernel {
    version: CgroupVersion,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By path within the hierarchy, `""` for the root.
    groups: BTreeMap<String, Group>,
    threads: BTreeMap<u32, Thread>,
    mounts: String,
    /// Writes to files that end so are refused, with that number.
    refused: Vec<(String, i32)>,
    /// Writes to files that end so change nothing.
    ignored: Vec<String>,
    writes: Vec<(PathBuf, String)>,
    forking: u32,
    without_quota: bool,
    /// Changes left until whoever makes them is dead.
    changes_left: Option<u32>,
}

#[derive(Debug, Default)]
struct Group {
    settings: BTreeMap<String, String>,
    threaded: bool,
    gives_cpu: bool,
}

#[derive(Debug)]
struct Thread {
    pid: u32,
    group: String,
    start_time: u64,
    policy: u32,
    state: char,
    inner_tid: u32,
}

const V1_POINT: &str = "/sys/fs/cgroup/cpu,cpuacct";
const V2_POINT: &str = "/sys/fs/cgroup";

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl State {
    /// Whether the one who makes a change still lives to make it.
    fn allows(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl FakeKernel {
    pub(crate) fn v1() -> Self {
        Self::new(
            CgroupVersion::V1,
            "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
        )
    }

    pub(crate) fn v2() -> Self {
        let kernel = Self::new(
            CgroupVersion::V2,
            "32 31 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        kernel.change().groups.get_mut("").unwrap().gives_cpu = true;
        kernel
    }

    fn new(version: CgroupVersion, mounts: &str) -> Self {
        let state = State {
            groups: BTreeMap::from([(String::new(), Group::default())]),
            mounts: mounts.to_owned(),
            ..State::default()
        };
        Self {
            version,
            state: Mutex::new(state),
        }
    }

    fn change(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn mount_point(&self) -> &'static Path {
        Path::new(match self.version {
            CgroupVersion::V1 => V1_POINT,
            CgroupVersion::V2 => V2_POINT,
        })
    }

    pub(crate) fn mounted(&self, line: &str) {
        self.change().mounts.push_str(line);
    }

    pub(crate) fn mounted_only(&self, line: &str) {
        self.change().mounts = line.to_owned();
    }

    /// A group and all above it; `cpu` says whether it has the controller.
    pub(crate) fn group(&self, path: &str, cpu: bool) {
        let mut state = self.change();
        let mut above = String::new();
        for part in path.trim_start_matches('/').split('/') {
            if cpu {
                state.groups.get_mut(&above).unwrap().gives_cpu = true;
            }
            above = format!("{above}/{part}");
            state.groups.entry(above.clone()).or_default();
        }
        if !cpu {
            let parent = path.rsplit_once('/').unwrap().0;
            state.groups.get_mut(parent).unwrap().gives_cpu = false;
        }
    }

    /// A sleeping thread in a group, made where it is missing.
    pub(crate) fn thread(&self, pid: u32, tid: u32, group: &str) {
        if group != "/" && !self.change().groups.contains_key(group) {
            self.group(group, true);
        }
        let thread = Thread {
            pid,
            group: group.trim_end_matches('/').to_owned(),
            start_time: 1000 + u64::from(tid),
            policy: 0,
            state: 'S',
            inner_tid: tid,
        };
        self.change().threads.insert(tid, thread);
    }

    pub(crate) fn in_namespace(&self, tid: u32, inner: u32) {
        self.change().threads.get_mut(&tid).unwrap().inner_tid = inner;
    }

    pub(crate) fn runs(&self, tid: u32, runs: bool) {
        self.change().threads.get_mut(&tid).unwrap().state = if runs { 'R' } else { 'S' };
    }

    pub(crate) fn real_time(&self, tid: u32) {
        self.change().threads.get_mut(&tid).unwrap().policy = 1;
    }

    pub(crate) fn ends(&self, tid: u32) {
        self.change().threads.remove(&tid);
    }

    /// Another thread gets the number of this one, in the same group.
    pub(crate) fn is_another(&self, tid: u32) {
        self.change().threads.get_mut(&tid).unwrap().start_time += 1;
    }

    pub(crate) fn group_of(&self, tid: u32) -> String {
        self.change().threads[&tid].group.clone()
    }

    pub(crate) fn moves(&self, tid: u32, group: &str) {
        self.change().threads.get_mut(&tid).unwrap().group = group.to_owned();
    }

    /// Removes a group, threads or not, as far as one may see from outside.
    pub(crate) fn loses(&self, group: &str, threads_to: &str) {
        let mut state = self.change();
        let prefix = format!("{group}/");
        state
            .groups
            .retain(|path, _| path != group && !path.starts_with(&prefix));
        for thread in state.threads.values_mut() {
            if thread.group == group || thread.group.starts_with(&prefix) {
                thread.group = threads_to.to_owned();
            }
        }
    }

    pub(crate) fn setting(&self, group: &str, name: &str) -> Option<String> {
        self.change().groups.get(group)?.settings.get(name).cloned()
    }

    pub(crate) fn sets(&self, group: &str, name: &str, text: &str) {
        let mut state = self.change();
        let group = state.groups.get_mut(group).unwrap();
        group.settings.insert(name.to_owned(), text.to_owned());
    }

    pub(crate) fn gives_cpu(&self, group: &str) -> bool {
        self.change().groups[group].gives_cpu
    }

    /// Every group with threads that it holds or not.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.change().groups.keys().cloned().collect()
    }

    pub(crate) fn refuses(&self, file: &str, number: i32) {
        self.change().refused.push((file.to_owned(), number));
    }

    pub(crate) fn ignores(&self, file: &str) {
        self.change().ignored.push(file.to_owned());
    }

    pub(crate) fn has_no_quota(&self) {
        self.change().without_quota = true;
    }

    /// The next moves out of a group each leave a new thread behind.
    pub(crate) fn forks(&self, times: u32) {
        self.change().forking = times;
    }

    /// Whoever makes changes dies after so many; nothing can be changed then
    /// until `None` is said.
    pub(crate) fn dies_after(&self, changes: Option<u32>) {
        self.change().changes_left = changes;
    }

    /// Writes since the last question, by name of the file.
    pub(crate) fn writes(&self) -> Vec<String> {
        let name = |(file, text): (PathBuf, String)| {
            format!("{}={text}", file.file_name().unwrap().to_string_lossy())
        };
        self.change().writes.drain(..).map(name).collect()
    }

    fn below_mount(&self, path: &Path) -> Option<String> {
        let rest = path.strip_prefix(self.mount_point()).ok()?;
        let rest = rest.to_str()?;
        Some(if rest.is_empty() {
            String::new()
        } else {
            format!("/{rest}")
        })
    }

    fn proc(&self, file: &Path) -> Option<String> {
        let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
        let state = self.change();
        if file == Path::new("/proc/self/mountinfo") {
            return Some(state.mounts.clone());
        }
        let (tid, name): (u32, &str) = match parts.as_slice() {
            ["/", "proc", pid, "task", tid, name] => {
                let tid = tid.parse().ok()?;
                let of = state.threads.get(&tid)?;
                (of.pid.to_string() == *pid).then_some((tid, *name))?
            }
            ["/", "proc", tid, name] => (tid.parse().ok()?, *name),
            _ => return None,
        };
        let thread = state.threads.get(&tid)?;
        let group = if thread.group.is_empty() {
            "/"
        } else {
            &thread.group
        };
        Some(match name {
            "cgroup" if self.version == CgroupVersion::V1 => {
                format!("4:cpu,cpuacct:{group}\n3:cpuset:/\n0::/elsewhere\n")
            }
            "cgroup" => format!("0::{group}\n"),
            "status" => format!("Name:\tx\nNSpid:\t{tid}\t{}\n", thread.inner_tid),
            "stat" => {
                let mut fields = vec!["0".to_owned(); 50];
                fields[0] = thread.state.to_string();
                fields[19] = thread.start_time.to_string();
                fields[38] = thread.policy.to_string();
                format!("{tid} (CPU 0/TCG (x)) {}", fields.join(" "))
            }
            _ => return None,
        })
    }
}

impl Files for FakeKernel {
    fn read(&self, file: &Path) -> io::Result<String> {
        if file.starts_with("/proc") {
            return self.proc(file).ok_or_else(missing);
        }
        let dir = file.parent().and_then(|dir| self.below_mount(dir));
        let name = file.file_name().and_then(|name| name.to_str());
        let (dir, name) = dir.zip(name).ok_or_else(missing)?;
        self.change()
            .setting(self.version, &dir, name)
            .ok_or_else(missing)
    }

    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        let dir = file.parent().and_then(|dir| self.below_mount(dir));
        let name = file.file_name().and_then(|name| name.to_str());
        let (dir, name) = dir.zip(name).ok_or_else(missing)?;
        let mut state = self.change();
        state.allows()?;
        let shown = file.to_string_lossy();
        if let Some((_, number)) = state
            .refused
            .iter()
            .find(|(end, _)| shown.ends_with(end.as_str()))
        {
            return Err(errno(*number));
        }
        if state.ignored.iter().any(|end| shown.ends_with(end)) {
            return Ok(());
        }
        state.writes.push((file.to_owned(), text.to_owned()));
        state.write(self.version, &dir, name, text)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let group = self.below_mount(dir).ok_or_else(missing)?;
        let mut state = self.change();
        state.allows()?;
        let shown = dir.to_string_lossy();
        let refused = state
            .refused
            .iter()
            .find(|(end, _)| end == "mkdir" || shown.ends_with(end));
        if let Some((_, number)) = refused {
            return Err(errno(*number));
        }
        if state.groups.contains_key(&group) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parent = group.rsplit_once('/').ok_or_else(missing)?.0;
        if !state.groups.contains_key(parent) {
            return Err(missing());
        }
        state.groups.insert(group, Group::default());
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let group = self.below_mount(dir).ok_or_else(missing)?;
        let mut state = self.change();
        state.allows()?;
        if !state.groups.contains_key(&group) {
            return Err(missing());
        }
        if !state.inside(&group).is_empty() || !state.children(&group).is_empty() {
            return Err(errno(EBUSY));
        }
        state.groups.remove(&group);
        Ok(())
    }

    fn folders(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        if let Ok(rest) = dir.strip_prefix("/proc") {
            let pid = rest.iter().next().and_then(|pid| pid.to_str());
            let state = self.change();
            let tids: Vec<PathBuf> = state
                .threads
                .iter()
                .filter(|(_, thread)| Some(thread.pid.to_string().as_str()) == pid)
                .map(|(tid, _)| dir.join(tid.to_string()))
                .collect();
            return if tids.is_empty() {
                Err(missing())
            } else {
                Ok(tids)
            };
        }
        let group = self.below_mount(dir).ok_or_else(missing)?;
        let state = self.change();
        if !state.groups.contains_key(&group) {
            return Err(missing());
        }
        let children = state.children(&group);
        Ok(children
            .iter()
            .map(|path| self.mount_point().join(path.trim_start_matches('/')))
            .collect())
    }
}
