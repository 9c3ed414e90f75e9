import ApplyEngine
import ArgumentParser
import Clusterfile
import FoundationEssentials
import Glibc
import Infra
import LinuxSystem
import Report
import SystemPackage

struct CpCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp",
        abstract: "Copy files to the hosts of a cluster, or from one of them.",
        usage: "sealer cp --name <name> [--accept-new-host-keys] [--root <folder>] <source> ... <destination>",
        discussion: """
            A place on a host is HOST:PATH, its path beginning with /. In place of the host, @all sends to all hosts and @ROLE to \
            those of a role. Files of up to 64 MiB are copied whole: a reader sees the old file or the new one. Permissions are \
            kept; on hosts files belong to root. A link at the file's place is replaced. Write a local file whose name has a \
            colon as ./FILE.

            Example:
              sealer cp --name shop daemon.json @all:/etc/docker/
              sealer cp --name shop shop-master-0:/etc/kubernetes/admin.conf .
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions

    @Argument(help: ArgumentHelp("What to copy, and at last where to.", valueName: "path"))
    var paths: [String]

    /// What is copied to where.
    private enum Order {
        case send([FilePath], to: HostPath)
        case fetch([HostPath], to: FilePath)
    }

    func validate() throws {
        if paths.count < 2 { throw ValidationError("something to copy and a place to copy it to were expected") }
        _ = try order()
    }

    func run(in context: CommandContext) async throws {
        let order = try order()
        let cluster = try await context.storedCluster(name, root: rootOptions.root)
        let engine = try await ClusterEngine.make(
            context: context, root: rootOptions.root, progress: SilentProgress(), hostKeys: hostKeyOptions)
        switch order {
        case .send(let files, let place): try await send(files, to: place, of: cluster, by: engine, context)
        case .fetch(let files, let path): try await fetch(files, to: path, of: cluster, by: engine, context)
        }
    }

    private func order() throws -> Order {
        let places = try paths.map { try HostPath(argument: $0) }
        let (sources, destination) = (places.dropLast(), places[places.count - 1])
        if let destination {
            guard sources.allSatisfy({ $0 == nil }) else {
                throw ValidationError("files are copied to hosts or from one, not from host to host")
            }
            return .send(paths.dropLast().map { FilePath($0) }, to: destination)
        }
        let from = sources.compactMap(\.self)
        guard from.count == sources.count else {
            throw ValidationError("a place on a host was expected, HOST:PATH: either all sources or the destination")
        }
        if let group = from.first(where: \.isGroup) {
            throw ValidationError("\(group.host) means several hosts, files are copied from one")
        }
        return .fetch(from, to: FilePath(paths[paths.count - 1]))
    }

    // MARK: - To hosts

    private func send(
        _ files: [FilePath], to place: HostPath, of cluster: Cluster, by engine: Engine, _ context: CommandContext
    ) async throws {
        let places = try await place.selection.select(from: engine.places(of: cluster), of: name)
        let loaded = try await BlockingPool.shared.run { try LocalFile.read(files) }
        let isFolder = place.path.hasSuffix("/") || loaded.count > 1
        let outcomes = try await engine.onEach(places) { _, host in
            var sent: [FilePath] = []
            for file in loaded {
                sent.append(
                    try await HostFile(FilePath(place.path), on: host).write(
                        file.bytes, permissions: file.permissions, name: file.name, isFolder: isFolder))
            }
            return sent
        }
        for outcome in outcomes {
            guard case .success(let sent) = outcome.result else { continue }
            for (file, path) in zip(files, sent) { context.write("copied \(file) to \(outcome.host):\(path)") }
        }
        let failures = outcomes.compactMap(\.failure)
        guard failures.isEmpty else {
            throw Failure.several("\(failures.count) of \(places.count) hosts did not get all files", failures)
        }
    }

    // MARK: - From a host

    private func fetch(
        _ files: [HostPath], to path: FilePath, of cluster: Cluster, by engine: Engine, _ context: CommandContext
    ) async throws {
        let all = try await engine.places(of: cluster)
        let endsInSlash = paths[paths.count - 1].hasSuffix("/")
        let isFolder = try await BlockingPool.shared.run {
            let isThere = Folder.exists(path)
            guard isThere || files.count == 1 && !endsInSlash else {
                throw Failure(.notFound, "there is no such folder", at: path.string)
            }
            return isThere
        }
        for file in files {
            let remote = FilePath(file.path)
            guard let name = remote.lastComponent else { throw HostFile.folder(at: "\(file.host):\(file.path)") }
            let places = try file.selection.select(from: all, of: self.name)
            let outcomes = try await engine.onEach(places) { _, host in try await HostFile(remote, on: host).read() }
            let target = isFolder ? path.appending(name) : path
            for outcome in outcomes {
                let (bytes, permissions) = try outcome.result.get()
                try await BlockingPool.shared.run { try LocalFile.write(bytes, to: target, permissions: permissions) }
                context.write("copied \(outcome.host):\(remote) to \(target)")
            }
        }
    }
}

/// `HOST:PATH`, `[IPv6]:PATH`, `@ROLE:PATH` or `@all:PATH`.
private struct HostPath: Sendable {
    let host: String
    let path: String

    /// - Returns: nil for a path on this machine.
    init?(argument: String) throws {
        guard let slash = argument.firstIndex(of: "/") else {
            guard argument.contains(":") else { return nil }
            throw ValidationError(
                "\(argument): the path on a host must begin with /, for a file of this machine write ./\(argument)")
        }
        let head = argument[..<slash]
        guard head.contains(":") else { return nil }
        guard head.hasSuffix(":"), head.count > 1 else {
            throw ValidationError(
                "\(argument): the path on a host must begin with /, for a file of this machine write ./\(argument)")
        }
        var name = head.dropLast()
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        guard !name.isEmpty, name != "@" else { throw ValidationError("\(argument): the host's name is missing") }
        host = String(name)
        path = String(argument[slash...])
        if path.utf8.contains(0) { throw ValidationError("a path has a zero byte") }
    }

    /// Whether several hosts may be meant.
    var isGroup: Bool { host.hasPrefix("@") }

    var selection: HostSelection {
        if host == "@all" { return HostSelection() }
        return isGroup ? HostSelection(roles: [String(host.dropFirst())]) : HostSelection(hosts: [host])
    }
}

/// A file of this machine on its way to hosts.
private struct LocalFile: Sendable {
    let name: String
    let bytes: Data
    let permissions: UInt32

    /// The most bytes of all files of one command: they are held in memory.
    private static let limit = 256 << 20

    /// Reads files. Blocking.
    static func read(_ paths: [FilePath]) throws -> [LocalFile] {
        var total = 0
        let files = try paths.map { path in
            var information = stat()
            if stat(path.string, &information) == 0 {
                let kind = information.st_mode & S_IFMT
                if kind == S_IFDIR { throw HostFile.folder(at: path.string) }
                guard kind == S_IFREG else { throw Failure(.invalidInput, "this is no file", at: path.string) }
                try HostFile.check(size: Int(information.st_size), at: path.string)
            }
            guard let name = path.lastComponent?.string, name != ".." else {
                throw Failure(.invalidInput, "this is no file's name", at: path.string)
            }
            let bytes = try readFile(path, limit: HostFile.limit)
            total += bytes.count
            guard total <= limit else {
                throw Failure(
                    .usage, "the files have more than \(limit >> 20) MiB together",
                    remedy: "copy them one after the other")
            }
            return LocalFile(name: name, bytes: bytes, permissions: information.st_mode)
        }
        let names = Dictionary(grouping: files, by: \.name)
        if let double = names.first(where: { $0.value.count > 1 })?.key {
            throw Failure(.usage, "two of the files have the name \(double)")
        }
        return files
    }

    /// Writes a file atomically, over another file if there is one, but over nothing else. Blocking.
    static func write(_ bytes: Data, to path: FilePath, permissions: UInt32) throws {
        var information = stat()
        guard stat(path.string, &information) != 0 || information.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.conflict, "something else than a file is in the way", at: path.string)
        }
        try AtomicFile.write(bytes, to: path, permissions: FilePermissions(rawValue: permissions))
    }
}
