import ArgumentParser
import FoundationEssentials
import ImageStore
import RegistryServer
import Report
import SystemPackage
import Terminal

struct RegistryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry",
        abstract: "Serve the store's images to container runtimes.",
        discussion: """
            Example:
              sealer registry serve --listen 127.0.0.1:5000
            """,
        subcommands: [RegistryServeCommand.self]
    )
}

struct RegistryServeCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve every contained image of the store, read-only, under its own name.",
        discussion: """
            Example:
              sealer registry serve --listen 127.0.0.1:5000
              skopeo copy docker://127.0.0.1:5000/k8s.gcr.io/pause:3.2 oci:pause
            """
    )

    @Option(help: ArgumentHelp("The address to listen on; port 0 takes a free one.", valueName: "host:port"))
    var listen: String = "127.0.0.1:5000"

    @Option(help: ArgumentHelp("A PEM certificate: serve over TLS.", valueName: "path"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("The certificate's private key, PEM.", valueName: "path"))
    var tlsKey: String?

    @OptionGroup var rootOptions: RootOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            throw Failure(.usage, "--listen \(listen): HOST:PORT was expected")
        }
        var configuration = RegistryServerConfiguration()
        configuration.host = String(listen[..<colon])
        configuration.port = port
        switch (tlsCert, tlsKey) {
        case (let certificate?, let key?):
            configuration.tls = .init(certificate: FilePath(certificate), key: FilePath(key))
        case (nil, nil): break
        default: throw Failure(.usage, "--tls-cert and --tls-key go together")
        }
        let store = try await context.store(rootOptions.root)
        let registry = try await RegistryServer.start(configuration, content: StoreContent(store: store)) { line in
            context.writeError(TerminalText.line(String(describing: line)))
        }
        let scheme = configuration.tls == nil ? "http" : "https"
        context.write("serving \(store.root) at \(scheme)://\(registry.host):\(registry.port)")
        await Interruption.wait()
        await registry.stop()
    }
}
