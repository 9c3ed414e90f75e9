import ApplyEngine
import ClusterRuntime
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("The user's kubeconfig")
struct KubeconfigFileTests {
    private let merge: KubeconfigMerge

    init() throws {
        let text = """
            clusters: [{name: k, cluster: {server: "https://10.0.0.2:6443"}}]
            contexts: [{name: x, context: {cluster: k, user: u}}]
            users: [{name: u, user: {token: secret}}]
            current-context: x
            """
        merge = try KubeconfigMerge(text, file: "admin.conf", name: "shop")
    }

    private func text(_ path: FilePath) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

    private func information(_ path: FilePath) -> stat {
        var information = stat()
        stat(path.string, &information)
        return information
    }

    @Test("is made with its folder, for its owner only, and needs no copy of what was not there")
    func new() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending(".kube/config")
        #expect(try KubeconfigFile(path).add(merge, setsCurrent: true))
        #expect(information(path).st_mode & 0o7777 == 0o600)
        #expect(information(path.removingLastComponent()).st_mode & 0o7777 == 0o700)
        #expect(try text(path).contains("token: secret"))
        #expect(try Folder.names(in: path.removingLastComponent()) == ["config"])
    }

    @Test("is kept as it was beside the new one, and is not written when there is nothing to change")
    func backup() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("config")
        let before = "# mine\nkind: Config\nusers: []\n"
        try AtomicFile.write(before.utf8, to: path)
        #expect(try KubeconfigFile(path).add(merge, setsCurrent: true))
        let backup = KubeconfigFile(path).backup
        #expect(backup == scratch.path.appending("config.before-sealer"))
        #expect(try text(backup) == before)
        #expect(information(backup).st_mode & 0o7777 == 0o600)
        #expect(information(path).st_mode & 0o7777 == 0o600)
        let file = information(path).st_ino
        #expect(try !KubeconfigFile(path).add(merge, setsCurrent: true))
        #expect(information(path).st_ino == file)
        #expect(try text(backup) == before)
        #expect(try Folder.names(in: scratch.path) == ["config", "config.before-sealer"])
    }

    @Test("behind a link stays behind it")
    func link() throws {
        let scratch = try Scratch()
        let (link, path) = (scratch.path.appending("link"), scratch.path.appending("real/config"))
        try Folder.make(scratch.path.appending("real"))
        try AtomicFile.write("kind: Config\n".utf8, to: path)
        #expect(symlink(path.string, link.string) == 0)
        #expect(try KubeconfigFile(link).add(merge, setsCurrent: true))
        #expect(try text(path).contains("shop"))
        var information = stat()
        #expect(lstat(link.string, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK)
    }

    @Test("stays its owner's when root changes it", .enabled(if: geteuid() == 0, "needs root"))
    func owner() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("config")
        try AtomicFile.write("kind: Config\n".utf8, to: path)
        #expect(chown(path.string, 1234, 2345) == 0)
        #expect(try KubeconfigFile(path).add(merge, setsCurrent: true))
        for file in [path, KubeconfigFile(path).backup] {
            #expect(information(file).st_uid == 1234 && information(file).st_gid == 2345)
        }
    }

    @Test("is left alone when it is something else, or held by kubectl")
    func refused() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("config")
        try AtomicFile.write("kind: Pod\n".utf8, to: path)
        #expect(throws: InvalidText.self) { try KubeconfigFile(path).add(merge, setsCurrent: true) }
        #expect(try text(path) == "kind: Pod\n")
        #expect(try Folder.names(in: scratch.path) == ["config"])
        let pipe = scratch.path.appending("pipe")
        #expect(mkfifo(pipe.string, 0o600) == 0)
        #expect(throws: Failure.self) { try KubeconfigFile(pipe).add(merge, setsCurrent: true) }
        #expect(unlink(pipe.string) == 0)

        try AtomicFile.write("kind: Config\n".utf8, to: path)
        try AtomicFile.write("".utf8, to: scratch.path.appending("config.lock"))
        let failure = #expect(throws: Failure.self) { try KubeconfigFile(path).add(merge, setsCurrent: true) }
        #expect(failure?.kind == .conflict)
        #expect(failure?.remedy?.contains("config.lock") == true)
        #expect(try text(path) == "kind: Config\n")
        #expect(try Folder.names(in: scratch.path) == ["config", "config.lock"])
    }
}
