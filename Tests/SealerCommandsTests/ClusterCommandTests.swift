import ApplyEngine
import Clusterfile
import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

/// The commands for clusters that need no cluster that runs.
@Suite("The cluster commands")
struct ClusterCommandTests {
    private func run(_ arguments: String..., root: FilePath? = nil, environment: [String: String] = [:]) async
        -> CommandOutcome
    {
        await command(arguments, root: root, environment: environment)
    }

    private func text(_ path: FilePath) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

    /// A cluster as `apply` leaves it on the operator's side.
    private func store(_ cluster: Cluster, in root: FilePath) throws -> ClusterFolder {
        let folder = ClusterFolder(state: root, cluster: cluster.name)
        try folder.make()
        try folder.write(cluster, to: folder.clusterfile)
        return folder
    }

    @Test("explain tells of a field, and of what is near when there is no such field")
    func explain() async throws {
        let page = await run("explain", "cluster.spec.hosts")
        #expect(page.code == 0)
        #expect(try page.output == ClusterfileSchema.explain("cluster.spec.hosts"))
        #expect(await run("explain").output.contains("plugin"))
        let missing = await run("explain", "cluster.spec.host")
        #expect(missing.code == 66)
        #expect(missing.error.contains("hosts"))
    }

    @Test("schema prints the schema")
    func schema() async throws {
        #expect(await run("schema").output == ClusterfileSchema.jsonSchema)
    }

    @Test("gen writes the Clusterfile that run's options mean")
    func gen() async throws {
        let outcome = await run(
            "gen", "shop:1", "-m", "10.0.0.2,10.0.0.4-5", "-n", "10.0.0.10-12", "--name", "shop", "-u", "ann", "-p",
            "env:SECRET", "--port", "2222", "-e", "A=1", "--pod-cidr", "10.128.0.0/14", "--service-cidr",
            "10.100.0.0/16")
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(outcome.error == "")
        let cluster = try Cluster.parse(outcome.output).cluster
        #expect(cluster.name == "shop")
        #expect(try cluster.image == Reference("shop:1"))
        #expect(
            cluster.members.map { $0.address?.description ?? "" }
                == ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.10", "10.0.0.11", "10.0.0.12"])
        #expect(cluster.members.map(\.isMaster) == [true, true, true, false, false, false])
        #expect(cluster.ssh == SSHSettings(user: "ann", password: .environment("SECRET"), port: 2222))
        #expect(cluster.environment == ["A": "1"])
        #expect(cluster.network.pods.map(\.description) == ["10.128.0.0/14"])
        #expect(cluster.network.services.map(\.description) == ["10.100.0.0/16"])

        let containers = try Cluster.parse(await run("gen", "shop:1", "-n", "2", "--egress").output).cluster
        #expect(containers.name == "my-cluster")
        #expect(containers.members.map(\.provider) == [.container, .container, .container])
        #expect(containers.nodeContainers.egress)
    }

    @Test("gen writes no password, and says so")
    func genSecret() async throws {
        let outcome = await run("gen", "shop:1", "-m", "10.0.0.2", "-p", "geheim")
        #expect(outcome.code == 0)
        #expect(!outcome.output.contains("geheim") && !outcome.error.contains("geheim"))
        #expect(outcome.output.contains("passwd: prompt"))
        let warnings = outcome.error.split(separator: "\n")
        #expect(warnings.count == 1, "\(outcome.error)")
        for word in ["--passwd", "password", "process list", "shell's history", "env:NAME", "file:PATH"] {
            #expect(outcome.error.contains(word), "\(outcome.error)")
        }
        let both = await run("gen", "shop:1", "-m", "10.0.0.2", "-p", "prompt", "--pk-passwd", "geheim")
        #expect(both.error.hasPrefix("warning: --pk-passwd: the passphrase itself"), "\(both.error)")
        #expect(!both.error.contains("geheim"))
        #expect(await run("gen", "shop:1", "-m", "10.0.0.2", "-p", "file:/p").error == "")
    }

    @Test("join warns once of a password on the command line, as that and not as one of a file")
    func joinSecret() async throws {
        let scratch = try Scratch()
        let cluster = Cluster(
            name: "shop", image: try Reference("shop:1"),
            hosts: [HostGroup(addresses: try [IPAddress](ranges: "10.0.0.2"), roles: ["master"])])
        _ = try store(cluster, in: scratch.path)
        let outcome = await run(
            "join", "--name", "shop", "-m", "10.0.0.3-4", "-n", "10.0.0.5", "-p", "geheim", "--dry-run",
            root: scratch.path)
        // As far as the image, which is not there.
        #expect(outcome.code == 66, "\(outcome.error)")
        #expect(outcome.error.split(separator: "\n").filter { $0.hasPrefix("warning: ") }.count == 1)
        #expect(outcome.error.contains("warning: --passwd: the password itself stands on the command line"))
        #expect(!outcome.error.contains("geheim"))
    }

    @Test("gen writes a file once, and replaces it only when told to")
    func genFile() async throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("Clusterfile")
        let first = await run("gen", "shop:1", "--output-file", path.string)
        #expect(first.code == 0 && first.output == "")
        let text = try text(path)
        #expect(try Cluster.parse(text).cluster.name == "my-cluster")
        #expect(await run("gen", "shop:2", "--output-file", path.string).code == 73)
        #expect(try self.text(path) == text)
        #expect(await run("gen", "shop:2", "--output-file", path.string, "--force").code == 0)
        #expect(try self.text(path).contains("shop:2"))
    }

    @Test("gen prints the Clusterfile of a cluster that this machine made")
    func genStored() async throws {
        let scratch = try Scratch()
        let written = try Cluster.parse(
            await run("gen", "shop:1", "-m", "10.0.0.2", "-n", "10.0.0.3", "--name", "shop").output
        ).cluster
        _ = try store(written, in: scratch.path)
        let outcome = await run("gen", "--name", "shop", root: scratch.path)
        #expect(outcome.code == 0)
        #expect(try Cluster.parse(outcome.output).cluster == written)
        #expect(await run("gen", "--name", "ghost", root: scratch.path).code == 66)
        #expect(await run("gen", "--name", "../x", root: scratch.path).code == 65)
    }

    @Test(
        "wrong usage ends with 64",
        arguments: [
            ["gen"], ["gen", "--name", "x", "--masters", "3"], ["gen", "a", "--masters", "x"], ["gen", "a", "--force"],
            ["gen", "a", "--from", "10.0.0.2"], ["gen", "--from", "10.0.0.2", "--masters", "3"],
            ["gen", "--from", "host"],
            ["gen", "--from", "10.0.0.2", "--provider", "container"],
            ["exec", "--name", "x"], ["exec", "--name", "x", "--timeout", "soon", "--", "ls"],
            ["exec", "--name", "x", "--timeout", "0", "--", "ls"], ["exec", "--name", "x", "--", ""],
            ["exec", "--name", "x", "--concurrency", "0", "--", "ls"],
            ["cp", "--name", "x", "a"], ["cp", "--name", "x", "a", "b"], ["cp", "--name", "x", "h:/a", "g:/b"],
            ["cp", "--name", "x", "h:a", "b"], ["cp", "--name", "x", "@all:/a", "b"],
            ["cp", "--name", "x", ":/a", "b"],
            ["cp", "--name", "x", "a", "h:/a", "b"], ["cp", "--name", "x", "a", "@:/b"],
            ["kubeconfig", "--name", "x", "--into", "f"], ["kubeconfig", "--name", "x", "--keep-context"],
            ["delete"], ["delete", "--name", "x", "--dry-run"], ["delete", "--name", "x", "--concurrency", "2"],
            ["delete", "--name", "x", "--output", "json"],
            ["delete", "--name", "x", "--drain-grace-period", "5"], ["delete", "--name", "x", "--drain-timeout", "5"],
            ["apply", "--name", "x", "--drain-grace-period", "soon"],
            ["scale-down", "--name", "x", "--nodes", "1", "--drain-grace-period", "-1"],
            ["scale-down", "--name", "x", "--nodes", "1", "--drain-timeout", "0"],
            ["delete", "--name", "x", "--nodes", "1", "--skip-plugins"],
        ])
    func usage(arguments: [String]) async throws {
        let scratch = try Scratch()
        let outcome = await command(arguments, root: scratch.path)
        #expect(outcome.code == 64, "\(outcome.error)")
        #expect(outcome.output == "")
    }

    @Test("delete takes the hosts out that are named, as scale-down does, and the whole cluster when none is")
    func deleteHosts() async throws {
        let scratch = try Scratch()
        let cluster = Cluster(
            name: "shop", image: try Reference("shop:1"),
            hosts: [
                HostGroup(addresses: try [IPAddress](ranges: "10.0.0.2"), roles: ["master"]),
                HostGroup(addresses: try [IPAddress](ranges: "10.0.0.3-4"), roles: ["node"]),
            ])
        let folder = try store(cluster, in: scratch.path)
        let cases: [([String], Int32, String)] = [
            (["--nodes", "10.0.0.9"], 64, "--nodes: 10.0.0.9 is no node"),
            (["--nodes", "10.0.0.2", "--yes"], 64, "--nodes: 10.0.0.2 is no node"),
            (["--masters", "10.0.0.3", "-y"], 64, "--masters: 10.0.0.3 is no master"),
            (["-n", "2"], 64, "--nodes 2"),
            // As far as the image, which is not there.
            (["--nodes", "10.0.0.4", "--dry-run"], 66, "shop:1"),
        ]
        for (words, code, hint) in cases {
            let deleted = await command(["delete", "--name", "shop"] + words, root: scratch.path)
            #expect(deleted.code == code && deleted.error.contains(hint), "\(words): \(deleted.error)")
            let scaled = await command(["scale-down", "--name", "shop"] + words, root: scratch.path)
            #expect(scaled.code == deleted.code && scaled.error == deleted.error, "\(words): \(scaled.error)")
            #expect(try folder.readCluster(folder.clusterfile) == cluster)
        }
        #expect(await run("delete", "--name", "ghost", "--nodes", "1", root: scratch.path).code == 66)
        // No host is noted as the cluster's own: all that there is of it is its folder.
        let docker = ["DOCKER_HOST": "unix://\(scratch.path)/no.sock"]
        let whole = await run("delete", "--name", "shop", root: scratch.path, environment: docker)
        #expect(whole.code == 69, "\(whole.error)")
        let agreed = await run("delete", "--name", "shop", "--yes", root: scratch.path, environment: docker)
        #expect(agreed.code == 69, "\(agreed.error)")
    }

    @Test("a cluster that is not there is no place for commands and files", arguments: [["exec"], ["cp"]])
    func missing(arguments: [String]) async throws {
        let scratch = try Scratch()
        let words = arguments + ["--name", "ghost", "a", "h:/b"]
        #expect(await command(words, root: scratch.path).code == 66)
    }

    // MARK: - kubeconfig

    private func storeKubeconfig(in root: FilePath) throws -> ClusterFolder {
        let folder = try store(Cluster(name: "shop", image: try Reference("shop:1")), in: root)
        let text = """
            clusters: [{name: kubernetes, cluster: {server: "https://10.0.0.2:6443"}}]
            contexts: [{name: x@y, context: {cluster: kubernetes, user: kubernetes-admin}}]
            users: [{name: kubernetes-admin, user: {client-key-data: S0VZ}}]
            current-context: x@y

            """
        try folder.writeSecret(Data(text.utf8), "kubeconfig")
        return folder
    }

    @Test("kubeconfig merges into the file that is named, the first of KUBECONFIG, or the one at home")
    func kubeconfigTargets() async throws {
        let scratch = try Scratch()
        let folder = try storeKubeconfig(in: scratch.path)
        #expect(await run("kubeconfig", "--name", "shop", root: scratch.path).output == "\(folder.kubeconfig)\n")
        let own = try readFile(folder.kubeconfig)

        let (named, listed) = (scratch.path.appending("named"), scratch.path.appending("listed"))
        let home = scratch.path.appending(".kube/config")
        let variables = ["KUBECONFIG": ":\(listed):\(scratch.path)/other"]
        let into = await run(
            "kubeconfig", "--name", "shop", "--merge", "--into", named.string, root: scratch.path,
            environment: variables)
        #expect(into.code == 0, "\(into.error)")
        #expect(into.output.contains(named.string))
        #expect(try text(named).contains("current-context: shop"))
        #expect(access(listed.string, F_OK) != 0)
        let first = await run("kubeconfig", "--name", "shop", "--merge", root: scratch.path, environment: variables)
        #expect(first.code == 0, "\(first.error)")
        #expect(try text(listed) == text(named))
        let atHome = await run("kubeconfig", "--name", "shop", "--merge", "--keep-context", root: scratch.path)
        #expect(atHome.code == 0, "\(atHome.error)")
        #expect(try !text(home).contains("current-context"))
        #expect(await run("kubeconfig", "--name", "shop", "--merge", root: scratch.path).code == 0)
        let again = await run("kubeconfig", "--name", "shop", "--merge", root: scratch.path)
        #expect(again.output.contains("already"))
        #expect(try readFile(folder.kubeconfig) == own)
    }

    @Test("kubeconfig refuses a cluster's own file and what is no kubeconfig, and names the place")
    func kubeconfigRefuses() async throws {
        let scratch = try Scratch()
        let folder = try storeKubeconfig(in: scratch.path)
        let own = try readFile(folder.kubeconfig)
        let outcome = await run(
            "kubeconfig", "--name", "shop", "--merge", root: scratch.path,
            environment: ["KUBECONFIG": folder.kubeconfig.string])
        #expect(outcome.code == 64)
        #expect(outcome.error.contains("--into"))
        #expect(try readFile(folder.kubeconfig) == own)
        let pod = scratch.path.appending("pod.yaml")
        try AtomicFile.write("apiVersion: v1\nkind: Pod\n".utf8, to: pod)
        let refused = await run("kubeconfig", "--name", "shop", "--merge", "--into", pod.string, root: scratch.path)
        #expect(refused.code == 65)
        #expect(refused.error.hasPrefix("\(pod):2:7: "))
        #expect(await run("kubeconfig", "--name", "ghost", "--merge", root: scratch.path).code == 66)
    }
}

/// What becomes the agent.
private let agentExecutable = ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"].map { FilePath($0) }

/// The commands for hosts, by the real agent on this machine.
@Suite(
    "The commands for hosts",
    .enabled(if: agentExecutable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct HostCommandTests {
    /// A cluster of this machine alone.
    private struct Site: ~Copyable {
        let scratch: Scratch

        static func make() throws -> Site {
            let scratch = try Scratch()
            let folder = ClusterFolder(state: scratch.path.appending("root"), cluster: "demo")
            try folder.make()
            try folder.write(
                Cluster(
                    name: "demo", image: try Reference("shop:1"),
                    hosts: [
                        HostGroup(
                            provider: .local, addresses: [try #require(IPAddress("10.0.0.7"))], roles: ["master", "db"])
                    ]), to: folder.clusterfile)
            return Site(scratch: scratch)
        }

        func run(_ arguments: [String]) async throws -> CommandOutcome {
            await command(
                arguments, root: scratch.path.appending("root"), executable: try #require(agentExecutable),
                agentFolder: scratch.path.appending("agent"))
        }

        func exec(_ arguments: String...) async throws -> CommandOutcome {
            try await run(["exec", "--name", "demo"] + arguments)
        }

        func copy(_ arguments: String...) async throws -> CommandOutcome {
            try await run(["cp", "--name", "demo"] + arguments)
        }
    }

    @Test("exec runs several words as they are, and one word in bash")
    func words() async throws {
        let site = try Site.make()
        let several = try await site.exec("--", "printf", "%s|", "a b", "$HOME", "-x")
        #expect(several.code == 0, "\(several.error)")
        #expect(several.output == "a b|$HOME|-x|\n")
        let one = try await site.exec("-r", "db", "--host", "10.0.0.7", "--", "echo $((1 + 1)) | tr 2 x; echo y >&2")
        #expect(one.output == "x\n")
        #expect(one.error == "y\n")
    }

    @Test("exec ends with 1 when the command fails or takes too long, and names the host")
    func failures() async throws {
        let site = try Site.make()
        let failed = try await site.exec("--", "echo told; exit 7")
        #expect(failed.code == 1)
        #expect(failed.output == "told\n")
        #expect(failed.error.contains("10.0.0.7") && failed.error.contains("status 7"), "\(failed.error)")
        let late = try await site.exec("--timeout", "1s", "--", "sleep", "600")
        #expect(late.code == 1)
        #expect(late.error.contains("10.0.0.7") && late.error.contains("1.0 s"), "\(late.error)")
        let none = try await site.exec("--", "no-such-program-here", "x")
        #expect(none.code == 1)
        #expect(none.error.contains("no-such-program-here"))
        let role = try await site.exec("-r", "ghost", "--", "ls")
        #expect(role.code == 66)
        #expect(role.error.contains("db, master"))
    }

    @Test("exec gives JSON for scripts, of what failed too")
    func json() async throws {
        struct Row: Decodable {
            var host: String
            var status: Int32?
            var output: String?
            var error: String?
            var failure: String?
        }
        let site = try Site.make()
        let outcome = try await site.exec("--output", "json", "--", "echo a; echo b >&2; exit 3")
        #expect(outcome.code == 1)
        let rows = try JSONDecoder().decode([Row].self, from: Data(outcome.output.utf8))
        #expect(rows.map(\.host) == ["10.0.0.7"])
        #expect(rows.first?.status == 3)
        #expect(rows.first?.output == "a\n")
        #expect(rows.first?.error == "b\n")
        let late = try await site.exec("--output", "json", "--timeout", "1s", "--", "sleep 600")
        let lateRows = try JSONDecoder().decode([Row].self, from: Data(late.output.utf8))
        #expect(lateRows.first?.status == nil)
        #expect(lateRows.first?.failure?.contains("sleep") == true || lateRows.first?.failure?.contains("bash") == true)
    }

    @Test("cp sends files and fetches them, with their permissions")
    func copies() async throws {
        let site = try Site.make()
        let (here, there) = (site.scratch.path.appending("here"), site.scratch.path.appending("there"))
        try Folder.make(here)
        try Folder.make(there)
        let bytes = Data((0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        let permissions = FilePermissions(rawValue: 0o750)
        try AtomicFile.write(bytes, to: here.appending("a"), permissions: permissions)
        try AtomicFile.write("b".utf8, to: here.appending("b"), permissions: permissions)
        let sent = try await site.copy("\(here)/a", "\(here)/b", "@all:\(there)/new/")
        #expect(sent.code == 0, "\(sent.error)")
        #expect(sent.output.contains("10.0.0.7:\(there)/new/b"))
        #expect(try readFile(there.appending("new/a")) == bytes)
        #expect(try Self.permissions(there.appending("new/a")) == 0o750)
        #expect(try await site.copy("\(here)/b", "@db:\(there)/new/a").code == 0)
        #expect(try readFile(there.appending("new/a")) == Data("b".utf8))
        try AtomicFile.write(bytes, to: there.appending("c"), permissions: FilePermissions(rawValue: 0o640))
        let fetched = try await site.copy("[10.0.0.7]:\(there)/c", "10.0.0.7:\(there)/new/b", here.string)
        #expect(fetched.code == 0, "\(fetched.error)")
        #expect(try readFile(here.appending("c")) == bytes)
        #expect(try Self.permissions(here.appending("c")) == 0o640)
        #expect(try await site.copy("10.0.0.7:\(there)/c", "\(here)/d").code == 0)
        #expect(try readFile(here.appending("d")) == bytes)
    }

    private static func permissions(_ path: FilePath) throws -> UInt32 {
        var information = stat()
        guard stat(path.string, &information) == 0 else { throw Errno(rawValue: errno) }
        return information.st_mode & 0o7777
    }

    @Test("cp refuses what it cannot copy whole, and leaves all as it was")
    func refuses() async throws {
        let site = try Site.make()
        let folder = site.scratch.path.appending("f")
        try Folder.make(folder)
        try AtomicFile.write("small".utf8, to: folder.appending("small"))
        try AtomicFile.write("".utf8, to: folder.appending("large"))
        #expect(truncate(folder.appending("large").string, (64 << 20) + 1) == 0)
        #expect(mkfifo(folder.appending("pipe").string, 0o600) == 0)
        let cases: [([String], Int32, String)] = [
            (["\(folder)", "10.0.0.7:/nowhere/x"], 65, "folder"),
            (["\(folder)/large", "10.0.0.7:\(folder)/x"], 65, "64 MiB"),
            (["\(folder)/none", "10.0.0.7:\(folder)/x"], 66, "none"),
            (["\(folder)/small", "10.0.0.8:\(folder)/x"], 66, "10.0.0.7"),
            (["\(folder)/small", "@node:\(folder)/x"], 66, "db, master"),
            (["\(folder)/small", "10.0.0.7:\(folder)/pipe"], 73, "in the way"),
            (["\(folder)/small", "\(folder)/../f/small", "10.0.0.7:\(folder)/x/"], 64, "two"),
            (["10.0.0.7:\(folder)", "\(folder)/x"], 65, "folder"),
            (["10.0.0.7:\(folder)/large", "\(folder)/x"], 65, "64 MiB"),
            (["10.0.0.7:\(folder)/none", "\(folder)/x"], 66, "none"),
            (["10.0.0.7:\(folder)/small", "\(folder)/pipe"], 73, "in the way"),
            (["10.0.0.7:\(folder)/small", "\(folder)/x/"], 66, "no such folder"),
        ]
        for (words, code, hint) in cases {
            let outcome = try await site.run(["cp", "--name", "demo"] + words)
            #expect(outcome.code == code, "\(words): \(outcome.error)")
            #expect(outcome.error.contains(hint), "\(words): \(outcome.error)")
        }
        #expect(try Folder.names(in: folder) == ["large", "pipe", "small"])
    }
}
