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
        abstract: "Serve every contained image of the store under its own name; with --writable take pushes in.",
        discussion: """
            Read-only and open to everybody who reaches the address, unless options say otherwise. With --htpasswd only its \
            accounts are served (bcrypt: htpasswd -B); of these --pusher may push. /healthz answers everybody.

            Example:
              sealer registry serve --listen 127.0.0.1:5000
              skopeo copy docker://127.0.0.1:5000/k8s.gcr.io/pause:3.2 oci:pause
            """
    )

    @Option(
        help: ArgumentHelp(
            "The address to listen on, IPv6 in brackets; port 0 takes a free one.", valueName: "host:port"))
    var listen: String = "127.0.0.1:5000"

    @Option(help: ArgumentHelp("A PEM certificate: serve over TLS.", valueName: "path"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("The certificate's private key, PEM.", valueName: "path"))
    var tlsKey: String?

    @Flag(help: "Take pushes in.")
    var writable = false

    @Flag(help: "Let manifests, tags and blobs be deleted, by whoever may push.")
    var deletable = false

    @Option(help: ArgumentHelp("A file of accounts: serve only these.", valueName: "path"))
    var htpasswd: String?

    @Option(help: ArgumentHelp("An account that may push; may be repeated.", valueName: "name"))
    var pusher: [String] = []

    @Option(
        help: ArgumentHelp(
            "An account that sees only these repositories, docker.io/team; may be repeated.",
            valueName: "name=repository"))
    var confine: [String] = []

    @Flag(help: "Let everybody push, where there are no accounts.")
    var anonymousPush = false

    @Option(
        help: ArgumentHelp(
            "Serve this folder of docker-distribution's instead of the store, read-only: registry/docker/registry/v2.",
            valueName: "folder"))
    var tree: String?

    @OptionGroup var rootOptions: RootOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        var configuration = RegistryServerConfiguration()
        (configuration.host, configuration.port) = try Self.place(listen)
        switch (tlsCert, tlsKey) {
        case (let certificate?, let key?):
            configuration.tls = .init(certificate: FilePath(certificate), key: FilePath(key))
        case (nil, nil): break
        default: throw Failure(.usage, "--tls-cert and --tls-key go together")
        }
        configuration.isWritable = writable
        configuration.isDeletable = deletable
        configuration.access.htpasswd = htpasswd.map { FilePath($0) }
        configuration.access.pushers = Set(pusher)
        configuration.access.allowsAnonymousPush = anonymousPush
        for (name, repository) in try confine.map({ try Self.pair($0) }) {
            configuration.access.confined[name, default: []].insert(repository)
        }
        if htpasswd != nil, configuration.tls == nil, !["127.0.0.1", "::1", "localhost"].contains(configuration.host) {
            context.writeError("warning: without --tls-cert passwords cross the network as plain text")
        }
        let (content, place) = try await content(context)
        let registry = try await RegistryServer.start(
            configuration,
            content: content,
            log: { context.writeError(TerminalText.line(String(describing: $0))) },
            report: { context.writeError(TerminalText.block("warning: \($0)")) }
        )
        context.write("serving \(place) at \(registry.url)")
        await Interruption.wait()
        await registry.stop()
    }

    /// Reads `HOST:PORT`; brackets around an address of IPv6 are no part of it.
    static func place(_ text: String) throws -> (host: String, port: Int) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            throw Failure(.usage, "--listen \(text): HOST:PORT was expected")
        }
        let host = text[..<colon]
        return (String(host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host), port)
    }

    private static func pair(_ text: String) throws -> (String, String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw Failure(.usage, "--confine \(text): NAME=REPOSITORY was expected")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    private func content(_ context: CommandContext) async throws -> (any RegistryContent, String) {
        if let tree {
            guard !writable else { throw Failure(.usage, "--tree is served read-only: leave --writable out") }
            return (try await DistributionTree(FilePath(tree)), tree)
        }
        let store = try await context.store(rootOptions.root)
        let report: @Sendable (Failure) -> Void = { context.writeError(TerminalText.block("warning: \($0)")) }
        let content: any RegistryContent =
            writable
            ? WritableStoreContent(store: store, report: report) : StoreContent(store: store, report: report)
        return (content, store.root.string)
    }
}
