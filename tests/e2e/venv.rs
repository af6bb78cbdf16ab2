//! A Python of its own for a test, with packages from the registry.

use std::process::Command;

use crate::support::TempDir;

/// A Python with `packages`; `None`, said in one line, where there is no Python or no network.
pub(crate) fn python(dir: &TempDir, packages: &[&str]) -> Option<String> {
    let own = dir.path().join("venv");
    let python = own.join("bin").join("python").display().to_string();
    let run = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output();
        match out {
            Ok(o) if o.status.success() => Ok(()),
            Ok(o) => Err(String::from_utf8_lossy(&o.stderr).into_owned()),
            Err(e) => Err(e.to_string()),
        }
    };
    let made = run("python3", &["-m", "venv", &own.display().to_string()]).and_then(|()| {
        let mut args = vec![
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        args.extend(packages);
        run(&python, &args)
    });
    match made {
        Ok(()) => Some(python),
        Err(e) => {
            println!(
                "skipped: no Python with {}: {}",
                packages.join(", "),
                e.lines().last().unwrap_or("")
            );
            None
        }
    }
}
