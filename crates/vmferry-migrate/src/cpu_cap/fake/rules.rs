//! How the kernel answers: which files a group has, and which writes it takes.

use std::io;

use super::{State, Thread, errno, missing};
use crate::cpu_cap::cgroup::CgroupVersion;
use crate::cpu_cap::files::libc_errno::{EINVAL, EOPNOTSUPP, ESRCH};

impl State {
    pub(super) fn children(&self, group: &str) -> Vec<String> {
        let is_child = |path: &&String| {
            path.strip_prefix(group)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.contains('/'))
        };
        self.groups.keys().filter(is_child).cloned().collect()
    }

    pub(super) fn has_cpu(&self, group: &str) -> bool {
        match group.rsplit_once('/') {
            None => true,
            Some((parent, _)) => self.groups.get(parent).is_some_and(|p| p.gives_cpu),
        }
    }

    pub(super) fn inside(&self, group: &str) -> Vec<u32> {
        let threads = self.threads.iter();
        threads
            .filter(|(_, thread)| thread.group == group)
            .map(|(tid, _)| *tid)
            .collect()
    }

    /// What a file of a group reads.
    pub(super) fn setting(
        &self,
        version: CgroupVersion,
        group: &str,
        name: &str,
    ) -> Option<String> {
        let of = self.groups.get(group)?;
        let set = of.settings.get(name).cloned();
        let is_root = group.is_empty();
        let list = || {
            let listed = self.inside(group);
            listed.iter().map(|tid| format!("{tid}\n")).collect()
        };
        match (version, name) {
            (CgroupVersion::V1, "tasks") | (CgroupVersion::V2, "cgroup.threads") => Some(list()),
            (CgroupVersion::V1, "cpu.cfs_quota_us") if !self.without_quota => {
                Some(set.unwrap_or_else(|| "-1".into()))
            }
            (CgroupVersion::V1, "cpu.cfs_period_us") if !self.without_quota => {
                Some(set.unwrap_or_else(|| "100000".into()))
            }
            (CgroupVersion::V1, "cpu.shares") => Some(set.unwrap_or_else(|| "1024".into())),
            (CgroupVersion::V1, "cpu.stat") => {
                Some("nr_periods 7\nnr_throttled 3\nthrottled_time 40000000\n".into())
            }
            (CgroupVersion::V2, "cpu.stat") => {
                Some("usage_usec 1\nnr_periods 7\nnr_throttled 3\nthrottled_usec 40000\n".into())
            }
            (CgroupVersion::V2, "cgroup.controllers") => Some(
                if self.has_cpu(group) {
                    "cpu memory\n"
                } else {
                    "memory\n"
                }
                .into(),
            ),
            (CgroupVersion::V2, "cgroup.subtree_control") => {
                Some(if of.gives_cpu { "cpu\n" } else { "\n" }.into())
            }
            (CgroupVersion::V2, "cgroup.events") => {
                let prefix = format!("{group}/");
                let populated = self
                    .threads
                    .values()
                    .any(|t| t.group == group || t.group.starts_with(&prefix));
                Some(format!("populated {}\nfrozen 0\n", u8::from(populated)))
            }
            (CgroupVersion::V2, "cgroup.type") if !is_root => {
                Some(if of.threaded { "threaded" } else { "domain" }.into())
            }
            (CgroupVersion::V2, "cpu.max") if !is_root && self.has_cpu(group) => {
                Some(set.unwrap_or_else(|| "max 100000".into()))
            }
            (CgroupVersion::V2, "cpu.weight") if !is_root && self.has_cpu(group) => {
                Some(set.unwrap_or_else(|| "100".into()))
            }
            _ => None,
        }
    }

    /// The kernel's answer to a write of a setting.
    pub(super) fn write(
        &mut self,
        version: CgroupVersion,
        group: &str,
        name: &str,
        text: &str,
    ) -> io::Result<()> {
        self.setting(version, group, name).ok_or_else(missing)?;
        let invalid = || errno(EINVAL);
        match name {
            "tasks" | "cgroup.threads" => {
                let tid: u32 = text.parse().map_err(|_| invalid())?;
                let from = self
                    .threads
                    .get(&tid)
                    .ok_or_else(|| errno(ESRCH))?
                    .group
                    .clone();
                if version == CgroupVersion::V2 {
                    // Within one resource domain only.
                    let related = from.starts_with(group) || group.starts_with(&from);
                    let deeper = if from.len() > group.len() {
                        &from
                    } else {
                        group
                    };
                    if !related || (from != group && !self.groups[deeper].threaded) {
                        return Err(errno(EOPNOTSUPP));
                    }
                }
                if self.forking > 0 && from.len() > group.len() {
                    self.forking -= 1;
                    let new = Thread {
                        pid: self.threads[&tid].pid,
                        group: from,
                        start_time: 5000,
                        policy: 0,
                        state: 'S',
                        inner_tid: 0,
                    };
                    let number = self.threads.keys().max().unwrap() + 1;
                    self.threads.insert(number, new);
                }
                self.threads.get_mut(&tid).unwrap().group = group.to_owned();
                return Ok(());
            }
            "cgroup.type" => {
                let parent = group.rsplit_once('/').ok_or_else(invalid)?.0.to_owned();
                let others = self.children(&parent);
                let occupied = others.iter().any(|other| {
                    other != group && !self.groups[other].threaded && !self.inside(other).is_empty()
                });
                if !parent.is_empty() && occupied {
                    return Err(errno(EOPNOTSUPP));
                }
                self.groups.get_mut(group).unwrap().threaded = true;
                return Ok(());
            }
            "cgroup.subtree_control" => {
                let on = text == "+cpu";
                if on && !self.has_cpu(group) {
                    return Err(missing());
                }
                self.groups.get_mut(group).unwrap().gives_cpu = on;
                return Ok(());
            }
            "cpu.cfs_quota_us" if text != "-1" => {
                let quota: f64 = text.parse().map_err(|_| invalid())?;
                let number = |group: &str, name| -> f64 {
                    let text = self.setting(version, group, name);
                    text.and_then(|text| text.trim().parse().ok())
                        .unwrap_or(-1.0)
                };
                let ratio = quota / number(group, "cpu.cfs_period_us");
                let mut above = group;
                while let Some((parent, _)) = above.rsplit_once('/') {
                    let bound = number(parent, "cpu.cfs_quota_us");
                    if bound > 0.0 && ratio > bound / number(parent, "cpu.cfs_period_us") {
                        return Err(invalid());
                    }
                    above = parent;
                }
                if quota < 1000.0 {
                    return Err(invalid());
                }
            }
            _ => {}
        }
        let settings = &mut self.groups.get_mut(group).unwrap().settings;
        settings.insert(name.to_owned(), text.to_owned());
        Ok(())
    }
}
