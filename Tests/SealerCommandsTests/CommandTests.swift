import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SealerCommands
import Synchronization
import SystemPackage
import Terminal
import TestSupport
import Testing

/// Commands run in process, with an environment and outputs of their own.
@Suite("The command line")
struct CommandTests {
    private func run(_ arguments: String..., root: FilePath? = nil, environment: [String: String] = [:]) async
        -> CommandOutcome
    {
        await command(arguments, root: root, environment: environment)
    }

    @Test(
        "says its version and helps at every level, with an example for each command",
        arguments: [
            [], ["build"], ["images"], ["inspect"], ["pull"], ["push"], ["save"], ["load"], ["copy"], ["login"],
            ["logout"],
            ["tag"], ["rmi"], ["prune"], ["fsck"], ["diff"],
            ["mount"], ["umount"],
            ["run"], ["plan"], ["apply"], ["join"], ["scale-up"], ["scale-down"], ["status"], ["history"], ["reset"],
            ["clusters"], ["gen"], ["explain"], ["schema"], ["exec"], ["cp"], ["kubeconfig"],
            ["delete"], ["registry"], ["registry", "serve"], ["node"], ["node", "agent"], ["node", "lb"],
        ])
    func help(command: [String]) async {
        let output = CapturedOutput()
        let context = CommandContext(
            environment: [:], home: nil, executable: "/proc/self/exe", write: { output.line($0) }, writeError: { _ in },
            makeProgress: { _ in ProgressMode.none.display(environment: [:]) }
        )
        #expect(await SealerCommand.execute(["sealer"] + command + ["--help"], in: context) == 0)
        #expect(output.text.contains("USAGE: sealer"))
        #expect(output.text.contains("Example:"))
        let version = await run("--version")
        #expect(version.output == "\(SealerCommand.version)\n")
    }

    @Test(
        "answers wrong usage on standard error with 64",
        arguments: [
            ["foo"], ["build"], ["build", "--tag"], ["build", "--tag", "A B", "."], ["images", "--output", "xml"],
            ["build", "--tag", "a", "--build-arg", "x", "."], ["build", "--tag", "a", "--platform", "x", "."],
            ["registry", "serve", "--listen", "nowhere"], ["run", "a", "--provider", "moon"],
        ])
    func usage(arguments: [String]) async throws {
        let scratch = try Scratch()
        let error = CapturedOutput()
        let output = CapturedOutput()
        let context = CommandContext(
            environment: ["SEALER_ROOT": scratch.path.string], home: nil, executable: "/proc/self/exe",
            write: { output.line($0) }, writeError: { error.line($0) },
            makeProgress: { _ in ProgressMode.none.display(environment: [:]) }
        )
        #expect(await SealerCommand.execute(["sealer"] + arguments, in: context) == 64)
        #expect(output.text == "")
        #expect(!error.text.isEmpty)
    }

    @Test("makes completions", arguments: ["bash", "zsh", "fish"])
    func completions(shell: String) async {
        let outcome = await run("--generate-completion-script", shell)
        #expect(outcome.code == 0)
        #expect(outcome.output.contains("sealer"))
    }

    @Test("builds, lists, inspects, tags and removes an image")
    func images() async throws {
        let scratch = try Scratch()
        let context = scratch.path.appending("context")
        try Folder.make(context.appending("etc"))
        try AtomicFile.write(
            Array("FROM scratch\nLABEL a=b\nCOPY etc etc\nCMD echo hi\n".utf8), to: context.appending("Kubefile"))
        try AtomicFile.write(Array("x".utf8), to: context.appending("etc/x"))
        let root = scratch.path.appending("root")
        let built = await run("build", "--tag", "shop:1", context.string, root: root)
        #expect(built.code == 0, "\(built.error)")
        let again = await run("build", "--tag", "shop:1", context.string, root: root)
        #expect(again.output == built.output)
        let listed = await run("images", "--output", "json", root: root)
        #expect(listed.output.contains(#""name" : "shop:1""#), "\(listed.output)")
        let inspected = await run("inspect", "shop:1", root: root)
        #expect(inspected.output.contains("COPY etc etc"), "\(inspected.output)")
        #expect(inspected.output.contains("a=b"))
        #expect(await run("tag", "shop:1", "example.org/shop:2", root: root).code == 0)
        #expect(await run("rmi", "shop:1", root: root).output.contains("deleted 0 blobs"))
        #expect(await run("inspect", "example.org/shop:2", root: root).code == 0)
        let removed = await run("rmi", "example.org/shop:2", root: root)
        #expect(!removed.output.contains("deleted 0 blobs"))
        #expect(try Folder.names(in: root.appending("store/blobs/sha256")).isEmpty)
    }

    @Test("tells the mistakes of a Kubefile by place, all of them, with 65")
    func mistakes() async throws {
        let scratch = try Scratch()
        let text = "FROM scratch\nCOPPY a b\nRUN make\nCOPY a\nENV =x\n"
        try AtomicFile.write(Array(text.utf8), to: scratch.path.appending("Kubefile"))
        let outcome = await run("build", "-t", "a", scratch.path.string, root: scratch.path.appending("root"))
        #expect(outcome.code == 65)
        for line in 2...5 { #expect(outcome.error.contains("Kubefile:\(line):"), "\(outcome.error)") }
    }

    @Test(
        "names what is not there, with 66",
        arguments: [
            ["inspect", "ghost:1"], ["tag", "ghost:1", "b"], ["rmi", "ghost:1"], ["kubeconfig", "--name", "ghost"],
            ["build", "--tag", "a", "/nowhere"], ["apply", "--file", "/nowhere"],
        ])
    func missing(arguments: [String]) async throws {
        let scratch = try Scratch()
        let error = CapturedOutput()
        let context = CommandContext(
            environment: ["SEALER_ROOT": scratch.path.string], home: nil, executable: "/proc/self/exe", write: { _ in },
            writeError: { error.line($0) }, makeProgress: { _ in ProgressMode.none.display(environment: [:]) }
        )
        #expect(await SealerCommand.execute(["sealer"] + arguments, in: context) == 66, "\(error.text)")
        #expect(error.text.hasPrefix("sealer: "))
    }

    @Test("plan --detailed-exitcode ends with 1 after every error, with the same words")
    func detailedExitCode() async throws {
        let scratch = try Scratch()
        let wrong = scratch.path.appending("wrong")
        try AtomicFile.write(Array("kind: Cluster\n".utf8), to: wrong)
        let cases: [([String], Int32)] = [
            (["--file", "/nowhere"], 66), (["--file", wrong.string], 65), (["--name", "ghost"], 66),
            (["--name", "../x"], 65), (["--bogus"], 64), (["--file", "a", "--name", "b"], 64),
        ]
        for (words, code) in cases {
            let plain = await command(["plan"] + words, root: scratch.path)
            #expect(plain.code == code, "\(words): \(plain.error)")
            let detailed = await command(["plan", "--detailed-exitcode"] + words, root: scratch.path)
            #expect(detailed.code == 1, "\(words): \(detailed.error)")
            #expect(detailed.error == plain.error && !detailed.error.isEmpty)
        }
        #expect(await run("plan", "--detailed-exitcode", "--help").code == 0)
        // The flag of another command is a word of its own.
        #expect(await run("status", "--detailed-exitcode").code == 64)
    }

    @Test("says that there is no Docker, with 69, and takes no cluster name that leads elsewhere")
    func noDocker() async throws {
        let scratch = try Scratch()
        let outcome = await run(
            "delete", "--name", "demo", root: scratch.path,
            environment: ["DOCKER_HOST": "unix://\(scratch.path)/no.sock"])
        #expect(outcome.code == 69, "\(outcome.error)")
        #expect(outcome.error.contains("\(scratch.path)/no.sock"))
        #expect(await run("delete", "--name", "../../etc", root: scratch.path).code == 65)
    }
}
