//! Sets the linker flags that a Node-API addon needs.

fn main() {
    napi_build::setup();
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos") {
        // Otherwise the dynamic linker would see the name of a file of the machine that built it.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/echo-node.node");
    }
}
