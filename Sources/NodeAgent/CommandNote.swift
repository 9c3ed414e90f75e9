import Glibc

/// What is written down of a command that an agent runs. All of it is the name of an empty file, so it changes in one step, and
/// there is nothing in the file to be read.
struct CommandNote: Sendable, Hashable {
    /// What its agent does with the command.
    enum State: String, Sendable {
        case running
        /// Its operator wants it no more.
        case ending
    }

    /// Has the note's token, in the environment of the command and of all that it starts.
    static let variable = "SEALER_COMMAND"
    private static let prefix = "command"

    /// The agent that runs it.
    let agent: ProcessMark
    /// Its own among all commands.
    let token: String
    /// Its first process, which leads its session; nil while it is being started.
    var leader: ProcessMark?
    var state: State

    init(agent: ProcessMark, token: String, leader: ProcessMark? = nil, state: State = .running) {
        self.agent = agent
        self.token = token
        self.leader = leader
        self.state = state
    }

    /// A note of a command that is about to be started.
    init(agent: ProcessMark) {
        let number = UInt64.random(in: 0...UInt64.max)
        self.init(agent: agent, token: String(number, radix: 16))
    }

    /// Reads the name of a note's file; nil when it is none.
    init?(fileName: String) {
        let parts = fileName.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0] == Self.prefix, let agent = Self.mark(parts[1]), !parts[2].isEmpty,
            parts[2].utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
            let state = State(rawValue: String(parts[4]))
        else { return nil }
        let leader = Self.mark(parts[3])
        guard leader != nil || parts[3] == "none" else { return nil }
        self.init(agent: agent, token: String(parts[2]), leader: leader, state: state)
    }

    /// The name of its file.
    var fileName: String {
        "\(Self.prefix)-\(Self.text(agent))-\(token)-\(leader.map(Self.text) ?? "none")-\(state.rawValue)"
    }

    /// The token as it stands in an environment.
    var assignment: String { "\(Self.variable)=\(token)" }

    private static func text(_ mark: ProcessMark) -> String { "\(mark.number).\(mark.start)" }

    private static func mark(_ text: Substring) -> ProcessMark? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = pid_t(parts[0]), number > 0, let start = UInt64(parts[1]) else {
            return nil
        }
        return ProcessMark(number: number, start: start)
    }
}
