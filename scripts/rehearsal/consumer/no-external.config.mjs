// For vite: packages are taken into the bundle too.
export default { ssr: { noExternal: true } }
