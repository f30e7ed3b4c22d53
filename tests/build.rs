//! Flags for tests that are ignored where what they need is missing: a test cannot report itself as ignored while it runs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    flag("skip_browser", "VDM_SKIP_BROWSER");
    flag("skip_mpi", "VDM_SKIP_MPI");
    flag("real_xrays", "VDM_XRAYS");
    flag("engines", "VDM_ENGINES");
}

/// Sets a flag for `cfg` where a variable of the environment is set.
fn flag(name: &str, variable: &str) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    println!("cargo::rerun-if-env-changed={variable}");
    if std::env::var_os(variable).is_some() {
        println!("cargo::rustc-cfg={name}");
    }
}
