import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent
@testable import Remote

@Suite("What agents note of their commands")
struct CommandNoteTests {
    /// No process has such a number.
    private static let gone = ProcessMark(number: .max, start: 1)

    /// The folder of the notes below that of a test.
    private static func notes(_ run: FilePath) -> FilePath { run.appending("commands") }

    private static func write(_ note: CommandNote, _ run: FilePath) throws {
        try Folder.make(run, permissions: .ownerReadWriteExecute)
        try Folder.make(notes(run), permissions: .ownerReadWriteExecute)
        try AtomicFile.write([], to: notes(run).appending(note.fileName))
    }

    private static func mark(_ process: pid_t) throws -> ProcessMark {
        try #require(try ProcessTable.entry(process)).mark
    }

    /// A note of what a test itself runs as if it were an agent's command.
    private static func note(
        of child: ChildProcess, agent: ProcessMark = gone, token: String = "a", state: CommandNote.State = .running
    ) throws -> CommandNote {
        CommandNote(agent: agent, token: token, leader: try mark(child.identifier), state: state)
    }

    private static func sleeper() async throws -> ChildProcess {
        try await ChildProcess.start(RemoteCommand(["sleep", "600"]))
    }

    /// The next number that a command prints.
    private static func number(_ child: ChildProcess) async throws -> pid_t {
        guard case .output(let bytes) = try await child.next(until: .now + .seconds(120)),
            let number = pid_t(String(decoding: bytes, as: UTF8.self).split(separator: "\n").first ?? "")
        else { throw Failure(.software, "the command did not print a number") }
        return number
    }

    private static func isAlive(_ process: pid_t) throws -> Bool {
        guard let entry = try ProcessTable.entry(process) else { return false }
        return !entry.hasEnded
    }

    /// Has a new agent run a command that prints which of the processes still run.
    private static func look(_ processes: [pid_t], _ run: FilePath) async throws -> [pid_t] {
        let pair = try await AgentPair.start(runFolder: run)
        // `D`, `R`, `S`, `T` and the like are states of what runs.
        let script = """
            for process in \(processes.map(String.init).joined(separator: " ")); do
                state="$(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null)" || continue
                [[ $state == Z* || -z $state ]] || echo "$process"
            done
            """
        let result = try await pair.host.run(.script(script), limit: .seconds(240)) { _ in }
        #expect(result.status == 0)
        try await pair.stop()
        return result.outputText.split(separator: "\n").compactMap { pid_t($0) }
    }

    // MARK: - What dead agents left

    @Test func whatADeadAgentLeftIsEndedBeforeTheFirstCommand() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        // What it started is in a group of its own.
        let child = try await ChildProcess.start(
            RemoteCommand(["bash", "-c", "set -m; sleep 600 & echo $!; wait"]))
        let other = try await Self.number(child)
        try #expect(Self.mark(other) != Self.mark(child.identifier))
        try Self.write(try Self.note(of: child), run)
        #expect(try await Self.look([child.identifier, other], run).isEmpty)
        #expect(!Folder.exists(run))
    }

    @Test func anAgentWhoseNumberWasGivenAgainIsDead() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let child = try await Self.sleeper()
        let own = try Self.mark(getpid())
        let agent = ProcessMark(number: own.number, start: own.start + 1)
        try Self.write(try Self.note(of: child, agent: agent), run)
        #expect(try await Self.look([child.identifier], run).isEmpty)
    }

    @Test func whatDoesNotMindTheFirstSignalIsKilled() async throws {
        let scratch = try Scratch()
        let child = try await ChildProcess.start(
            RemoteCommand(["bash", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"]))
        #expect(try await Self.number(child) == child.identifier)
        let run = scratch.path.appending("run")
        try Self.write(try Self.note(of: child), run)
        let commands = CommandNotes(runFolder: run, patience: .seconds(5))
        try await commands.endLeft()
        #expect(try !Self.isAlive(child.identifier))
        #expect(!Folder.exists(run))
    }

    @Test func aCommandWhoseAgentDiedWhileItStartedItIsFoundByItsToken() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let note = CommandNote(agent: Self.gone)
        let child = try await ChildProcess.start(
            RemoteCommand(["sleep", "600"], environment: [CommandNote.variable: note.token]))
        try Self.write(note, run)
        #expect(try await Self.look([child.identifier], run).isEmpty)
        #expect(!Folder.exists(run))
    }

    /// Starts a command that ends and leaves a process behind.
    private static func orphan(_ token: String?) async throws -> (note: CommandNote, process: pid_t) {
        let environment = token.map { [CommandNote.variable: $0] } ?? [:]
        let child = try await ChildProcess.start(
            RemoteCommand(["sh", "-c", "sleep 600 >&- 2>&- & echo $!; read x"], environment: environment))
        let process = try await number(child)
        let note = try note(of: child, token: token ?? "a")
        await child.closeInput()
        while true {
            if case .exited = try await child.next(until: .now + .seconds(120)) { return (note, process) }
        }
    }

    @Test func whatOutlivedTheFirstProcessIsEndedToo() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let (note, process) = try await Self.orphan("abc")
        try Self.write(note, run)
        #expect(try await Self.look([process], run).isEmpty)
    }

    @Test func aSessionWithoutItsFirstProcessIsTouchedOnlyWhenItHasTheToken() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let (note, process) = try await Self.orphan(nil)
        defer { kill(process, SIGKILL) }
        try Self.write(note, run)
        #expect(try await Self.look([process], run) == [process])
    }

    @Test func aNumberThatWasGivenAgainIsNotTouched() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let child = try await Self.sleeper()
        var note = try Self.note(of: child)
        let leader = try #require(note.leader)
        note.leader = ProcessMark(number: leader.number, start: leader.start + 1)
        try Self.write(note, run)
        #expect(try await Self.look([child.identifier], run) == [child.identifier])
        // It tells of nothing any more.
        #expect(!Folder.exists(run))
    }

    // MARK: - What living agents run

    @Test func whatALivingAgentRunsIsNotTouched() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let agent = try await Self.sleeper()
        let child = try await Self.sleeper()
        let note = try Self.note(of: child, agent: try Self.mark(agent.identifier))
        try Self.write(note, run)
        #expect(try await Self.look([child.identifier], run) == [child.identifier])
        #expect(try Folder.names(in: Self.notes(run)) == [note.fileName])
    }

    @Test func whatALivingAgentEndsIsWaitedFor() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let agent = try await Self.sleeper()
        let child = try await Self.sleeper()
        let note = try Self.note(of: child, agent: try Self.mark(agent.identifier), state: .ending)
        try Self.write(note, run)
        let file = Self.notes(run).appending(note.fileName)
        let pair = try await AgentPair.start(runFolder: run)
        // What only reads does not wait.
        #expect(try await pair.host.inspect([file])[file.string] != nil)
        let seen = Seen<OutputLine>()
        let task = Task {
            try await pair.host.run(
                .script("[[ -e $FILE ]] || echo gone", environment: ["FILE": file.string]), limit: .seconds(240),
                output: seen.add)
        }
        try await Task.sleep(for: .milliseconds(300))
        try Folder.delete(file)
        #expect(try await task.value.outputText == "gone\n")
        try await pair.stop()
    }

    @Test(arguments: ["write", "delete"]) func noFileIsChangedBesideWhatADeadAgentLeft(_ request: String) async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let child = try await Self.sleeper()
        try Self.write(try Self.note(of: child), run)
        let pair = try await AgentPair.start(runFolder: run)
        let file = scratch.path.appending("a").appending("file")
        #expect(try await pair.host.readFile(file, limit: 10) == nil)
        #expect(try Self.isAlive(child.identifier))
        if request == "write" {
            try await pair.host.writeFile(file, Data(), permissions: 0o600)
        } else {
            try await pair.host.delete(file)
        }
        #expect(try !Self.isAlive(child.identifier))
        try await pair.stop()
    }

    // MARK: - The notes

    @Test func aCommandIsNotedWhileItRuns() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let pair = try await AgentPair.start(runFolder: run)
        let script = "echo $$; echo \"$\(CommandNote.variable)\"; stat -c %a \"$NOTES\"; ls -A \"$NOTES\""
        let result = try await pair.host.run(
            .script(script, environment: ["NOTES": Self.notes(run).string]), limit: .seconds(240)
        ) { _ in }
        let lines = result.outputText.split(separator: "\n").map(String.init)
        try #require(lines.count == 4)
        let note = try #require(CommandNote(fileName: lines[3]))
        #expect(note.leader?.number == pid_t(lines[0]))
        #expect(note.token == lines[1])
        #expect(lines[2] == "700")
        #expect(try note.agent == Self.mark(getpid()))
        #expect(note.state == .running)
        #expect(!Folder.exists(run))
        // One that cannot start leaves no note either.
        await #expect(throws: Failure.self) {
            try await pair.host.run(RemoteCommand(["no-such-program"]), limit: .seconds(240)) { _ in }
        }
        #expect(!Folder.exists(run))
        try await pair.stop()
    }

    @Test func ofACommandThatIsEndedNothingIsLeft() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let pair = try await AgentPair.start(runFolder: run)
        let seen = Seen<OutputLine>()
        // The first process goes at the first signal, its child does not mind it.
        let script = "bash -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait"
        let task = Task {
            try await pair.host.run(RemoteCommand(["bash", "-c", script]), limit: .seconds(240), output: seen.add)
        }
        try await withLimit(.seconds(120), waitingFor: "the command to start") {
            while seen.all.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
        let names = try Folder.names(in: Self.notes(run))
        #expect(names.compactMap(CommandNote.init(fileName:)).map(\.state) == [.running])
        // The connection breaks: when the agent has ended, so has all that it ran.
        try await pair.stop()
        await #expect(throws: Failure.self) { try await task.value }
        #expect(try !Self.isAlive(try #require(pid_t(seen.all[0].text))))
        #expect(!Folder.exists(run))
    }

    @Test func whatIsNoNoteIsPassedOver() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        let child = try await Self.sleeper()
        let note = try Self.note(of: child)
        try Self.write(note, run)
        let folder = Self.notes(run)
        // The note's name is that of a link, and of a folder.
        let file = scratch.path.appending("elsewhere")
        try Folder.delete(folder.appending(note.fileName))
        try AtomicFile.write([], to: file)
        #expect(symlink(file.string, folder.appending(note.fileName).string) == 0)
        let second = try Self.note(of: child, token: "b").fileName
        try Folder.make(folder.appending(second))
        let names = [
            "x", "command", "command-1.1-a-none", "command-0.1-a-none-running", "command--1.1-a-none-running",
            "command-1.1--none-running", "command-1.1-a-0.1-running", "command-1.1-G-none-running",
            "command-1.1-a-99999999999.1-running", "command-1.1-a-none-sleeping", "command-1.1-a-none-running-x",
        ]
        for name in names { try AtomicFile.write([0xff, 0x2f], to: folder.appending(name)) }
        #expect(try await Self.look([child.identifier], run) == [child.identifier])
        #expect(try Set(Folder.names(in: folder)) == Set(names + [note.fileName, second]))
        #expect(try await Self.look([child.identifier], run) == [child.identifier])
    }

    @Test func aNoteComesBackFromItsName() throws {
        for leader in [nil, ProcessMark(number: 7, start: 0), ProcessMark(number: .max, start: .max)] {
            for state in [CommandNote.State.running, .ending] {
                var note = CommandNote(agent: ProcessMark(number: 5, start: 99))
                note.leader = leader
                note.state = state
                #expect(CommandNote(fileName: note.fileName) == note)
            }
        }
    }

    @Test func aCommandThatCannotBeNotedDoesNotStart() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("file")
        let made = scratch.path.appending("made")
        try AtomicFile.write([], to: file)
        let pair = try await AgentPair.start(runFolder: file.appending("run"))
        let failure = await #expect(throws: Failure.self) {
            try await pair.host.run(RemoteCommand(["touch", made.string]), limit: .seconds(240)) { _ in }
        }
        #expect(failure?.place?.contains(file.string) == true)
        #expect(try await pair.host.readFile(made, limit: 1) == nil)
        try await pair.stop()
    }

    @Test func aFolderThatOthersMayWriteToIsNotTrusted() async throws {
        let scratch = try Scratch()
        let run = scratch.path.appending("run")
        try Folder.make(run)
        #expect(chmod(run.string, 0o777) == 0)
        let pair = try await AgentPair.start(runFolder: run)
        let failure = await #expect(throws: Failure.self) {
            try await pair.host.run(RemoteCommand(["true"]), limit: .seconds(240)) { _ in }
        }
        #expect(failure?.kind == .denied)
        try await pair.stop()
    }

    // MARK: - What the kernel tells

    @Test func aLineOfTheKernelIsRead() throws {
        let rest = "1 40 30 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 9"
        let entry = try #require(ProcessEntry("42 (a) Z b) S \(rest)".utf8))
        #expect(entry.mark == ProcessMark(number: 42, start: 777))
        #expect(entry.group == 40)
        #expect(entry.session == 30)
        #expect(!entry.hasEnded)
        #expect(ProcessEntry("42 (a) Z \(rest)".utf8)?.hasEnded == true)
        // Its first thread alone has ended.
        #expect(
            ProcessEntry("42 (a) Z \(rest.replacing(" 20 0 1 ", with: " 20 0 3 "))".utf8)?.hasEnded == false)
        for line in ["", "42", "42 (a", "42 (a) S 1 2 3", "x (a) S \(rest)"] {
            #expect(ProcessEntry(line.utf8) == nil)
        }
    }
}
