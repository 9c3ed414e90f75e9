import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import RegistryServer
import Report
import SystemPackage
import TestSupport
import Testing

/// Images on their ways, by commands that run in process, with a registry of our own that takes pushes.
@Suite("The image commands")
struct ImageCommandTests {
    /// Two machines, each with a store, and a registry between them.
    private struct Site: ~Copyable {
        let scratch: Scratch
        let registry: RunningRegistry
        let environment: [String: String]

        var here: FilePath { scratch.path.appending("here") }
        var there: FilePath { scratch.path.appending("there") }
        var host: String { "127.0.0.1:\(registry.port)" }

        /// - Parameter accounts: lines of an htpasswd file; of them "ann" may push.
        static func start(accounts: String? = nil) async throws -> Site {
            let scratch = try Scratch()
            var configuration = RegistryServerConfiguration()
            configuration.isWritable = true
            if let accounts {
                let file = scratch.path.appending("htpasswd")
                try AtomicFile.write(Array(accounts.utf8), to: file, permissions: .ownerReadWrite)
                configuration.access.htpasswd = file
                configuration.access.pushers = ["ann"]
            } else {
                configuration.access.allowsAnonymousPush = true
            }
            let store = try await ImageStore.open(scratch.path.appending("registry"))
            let registry = try await RegistryServer.start(configuration, content: WritableStoreContent(store: store))
            let rules = scratch.path.appending("registries.conf")
            let text = "[[registry]]\nlocation = \"127.0.0.1:\(registry.port)\"\ninsecure = true\n"
            try AtomicFile.write(Array(text.utf8), to: rules)
            return Site(
                scratch: scratch, registry: registry, environment: ["CONTAINERS_REGISTRIES_CONF": rules.string])
        }

        func run(_ arguments: String..., at root: FilePath? = nil) async -> CommandOutcome {
            await command(arguments, root: root ?? here, environment: environment)
        }

        /// Builds an image of one file, above a layer that all of them share.
        func build(_ name: String, _ content: String) async throws {
            let context = scratch.path.appending("context")
            try Folder.make(context.appending("etc"))
            try Folder.make(context.appending("base"))
            try AtomicFile.write(
                Array("FROM scratch\nCOPY base base\nCOPY etc etc\n".utf8), to: context.appending("Kubefile"))
            try AtomicFile.write(Array("the same for all".utf8), to: context.appending("base/x"))
            try AtomicFile.write(Array(content.utf8), to: context.appending("etc/x"))
            let built = await run("build", "--tag", name, context.string)
            try #require(built.code == 0, "\(built.error)")
        }

        func digest(_ name: String, at root: FilePath) async throws -> Digest? {
            try await ImageStore.open(root.appending("store")).resolve(Reference(name))?.digest
        }
    }

    @Test("push and pull bring the same image, and push sends only what is new")
    func pushAndPull() async throws {
        let site = try await Site.start()
        let name = "\(site.host)/team/shop:1"
        try await site.build("shop:1", String(repeating: "one", count: 10_000))
        let pushed = await site.run("push", "shop:1", name, "--output", "json")
        #expect(pushed.code == 0, "\(pushed.error)")
        let again = await site.run("push", "shop:1", name, "--output", "json")
        #expect(again.output.contains("\"sentBytes\" : 0"), "\(again.output)")
        let pulled = await site.run("pull", name, at: site.there)
        #expect(pulled.code == 0, "\(pulled.error)")
        #expect(try await site.digest(name, at: site.there) == site.digest("shop:1", at: site.here))
        #expect(await site.run("fsck", at: site.there).code == 0)
        let none = await site.run("push", "ghost:1", name)
        #expect(none.code == 66)
        await site.registry.stop()
    }

    @Test("fsck finds a damaged blob, and --repair fetches it again")
    func repair() async throws {
        let site = try await Site.start()
        let name = "\(site.host)/team/shop:1"
        try await site.build(name, "content")
        #expect(await site.run("push", name).code == 0)
        let store = try await ImageStore.open(site.here.appending("store"))
        let layer = try #require(try await store.clusterImage(Reference(name)).manifest.layers.last)
        try AtomicFile.write(Array("damaged".utf8), to: store.path(of: layer.digest))
        let found = await site.run("fsck")
        #expect(found.code == 76)
        #expect(found.output.contains(layer.digest.hex) && found.output.contains("truncated"), "\(found.output)")
        let mended = await site.run("fsck", "--repair")
        #expect(mended.code == 0, "\(mended.output) \(mended.error)")
        #expect(await site.run("fsck").code == 0)
        await site.registry.stop()
    }

    @Test("a store with a damage that nobody can mend says so after a repair")
    func cannotRepair() async throws {
        let site = try await Site.start()
        let name = "\(site.host)/team/never-pushed:1"
        try await site.build(name, "content")
        let store = try await ImageStore.open(site.here.appending("store"))
        let layer = try #require(try await store.clusterImage(Reference(name)).manifest.layers.first)
        try Folder.delete(store.path(of: layer.digest))
        let outcome = await site.run("fsck", "--repair")
        #expect(outcome.code == 76)
        #expect(outcome.output.contains("not repaired"), "\(outcome.output)")
        await site.registry.stop()
    }

    @Test("save and load bring the same image, whole, as the rest of another, and in parts")
    func saveAndLoad() async throws {
        let site = try await Site.start()
        try await site.build("shop:1", String(repeating: "one", count: 1000))
        try await site.build("shop:2", String(repeating: "two", count: 1000))
        let first = site.scratch.path.appending("first.tar").string
        let rest = site.scratch.path.appending("rest.tar").string
        #expect(await site.run("save", "--output", first, "shop:1").code == 0)
        #expect(await site.run("save", "-o", rest, "--since", "shop:1", "shop:2").code == 0)
        // The rest alone is refused, and changes nothing.
        let early = await site.run("load", "--input", rest, at: site.there)
        #expect(early.code == 66, "\(early.error)")
        #expect(await site.run("images", "--output", "json", at: site.there).output.contains("shop") == false)
        #expect(await site.run("load", first, at: site.there).code == 0)
        #expect(await site.run("load", rest, at: site.there).code == 0)
        for name in ["shop:1", "shop:2"] {
            #expect(try await site.digest(name, at: site.there) == site.digest(name, at: site.here))
        }
        #expect(await site.run("fsck", at: site.there).code == 0)
        #expect(await site.run("save", "--split", "4X", "--output", first, "shop:1").code == 64)
        await site.registry.stop()
    }

    @Test("copy goes between a store, a registry, a layout and an archive with one digest")
    func copy() async throws {
        let site = try await Site.start()
        try await site.build("shop:1", "content")
        let digest = try #require(try await site.digest("shop:1", at: site.here))
        let archive = "oci-archive:\(site.scratch.path.appending("a.tar"))"
        let layout = "oci:\(site.scratch.path.appending("layout"))"
        for (source, destination) in [
            ("shop:1", "docker://\(site.host)/a/shop:1"),
            ("docker://\(site.host)/a/shop:1", "docker://\(site.host)/b/shop:1"),
            ("docker://\(site.host)/b/shop:1", "\(layout):shop:1"),
            ("\(layout):shop:1", "\(archive):shop:1"),
            (archive, "docker://\(site.host)/c/shop:1"),
            ("docker://\(site.host)/c/shop:1", "copied:1"),
        ] {
            let outcome = await site.run("copy", source, destination)
            #expect(outcome.code == 0, "\(source) → \(destination): \(outcome.error)")
            #expect(outcome.output.contains(digest.description), "\(source) → \(destination)")
        }
        #expect(try await site.digest("copied:1", at: site.here) == digest)
        // An archive's own names do not come along, and a name is looked for in the archive only.
        let mine = await site.run("copy", archive, "mine:1", at: site.there)
        #expect(mine.code == 0, "\(mine.error)")
        #expect(
            try await ImageStore.open(site.there.appending("store")).names().map(\.reference.familiar) == ["mine:1"])
        #expect(await site.run("copy", "\(archive):copied:1", "other:1").code == 66)
        let staging = site.here.appending("cache").appending("copy")
        #expect(try !Folder.exists(staging) || Folder.names(in: staging).isEmpty)
        #expect(await site.run("copy", "ftp://x", "y:1").code == 64)
        #expect(await site.run("copy", "oci:/nowhere:a:1", "y:1").code == 66)
        await site.registry.stop()
    }

    @Test("login keeps only what the registry takes, and logout forgets it")
    func login() async throws {
        // By bcrypt, of "secret".
        let account = "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"
        let site = try await Site.start(accounts: account)
        let wrong = await site.run("login", site.host, "--username", "ann", "--password", "wrong-password")
        #expect(wrong.code == 77, "\(wrong.error)")
        #expect(!wrong.error.contains("wrong-password"))
        let file = site.here.appending(".docker").appending("config.json")
        #expect(!Folder.exists(file.removingLastComponent()))
        let outcome = await site.run("login", site.host, "--username", "ann", "--password", "secret")
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(!outcome.output.contains("secret") && !outcome.error.contains("secret"))
        #expect(String(decoding: try readFile(file), as: UTF8.self).contains(site.host))
        try await site.build("shop:1", "content")
        #expect(await site.run("push", "shop:1", "\(site.host)/shop:1").code == 0)
        #expect(await site.run("logout", site.host).code == 0)
        #expect(await site.run("push", "shop:1", "\(site.host)/shop:1").code == 77)
        #expect(await site.run("logout", site.host).code == 66)
        await site.registry.stop()
    }
}
