import Report

/// A Kubefile that was read and found right: its instructions in their order, with their places.
///
/// Variables are not replaced yet: `expand` does that, once the build arguments are known.
public struct KubefileDocument: Sendable {
    /// What an instruction says.
    public enum Content: Sendable, Hashable {
        /// `FROM`: the image to begin with; the word `scratch` begins with nothing.
        case from(Word)
        /// `COPY`: files of the build context, and where they go in the rootfs.
        case copy(sources: [Word], destination: Word)
        /// `ARG`: names of build arguments with their defaults.
        case arg([Argument])
        /// `ENV`: names and values for launch commands.
        case env([Assignment])
        /// `LABEL`: names and values on the image.
        case label([Assignment])
        /// `CMD`: one shell command, as written: the shell replaces variables at launch time.
        case command(String)
        /// `CMDS`: shell commands, as written.
        case commands([String])
        /// `APP`: an application and the places of its files (`local://PATH`).
        case app(name: Word, sources: [Word])
        /// `LAUNCH`: which applications start, in order. They may come from the base image.
        case launch([LaunchedApp])
    }

    /// A build argument.
    public struct Argument: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// Its value unless the build gives another; nil when the build must give one.
        public var defaultValue: Word?
        /// Where the name stands.
        public var position: SourcePosition

        /// Compares name and default, not the place.
        public static func == (left: Argument, right: Argument) -> Bool {
            left.name == right.name && left.defaultValue == right.defaultValue
        }

        /// Hashes name and default.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(name)
            hasher.combine(defaultValue)
        }
    }

    /// A name with its value.
    public struct Assignment: Sendable, Hashable {
        /// The name: of ENV without variables, of LABEL possibly with.
        public var name: Word
        /// The value.
        public var value: Word
    }

    /// A name in LAUNCH.
    public struct LaunchedApp: Sendable, Hashable {
        /// The application's name.
        public var name: String
        /// Where it stands, for a later check against the base image's applications.
        public var position: SourcePosition

        /// Compares the name, not the place.
        public static func == (left: LaunchedApp, right: LaunchedApp) -> Bool { left.name == right.name }

        /// Hashes the name.
        public func hash(into hasher: inout Hasher) { hasher.combine(name) }
    }

    /// One instruction.
    public struct Instruction: Sendable {
        /// What it says.
        public var content: Content
        /// The instruction as one line: continuation lines joined, comments gone.
        public var text: String
        /// Where it begins.
        public var position: SourcePosition
        /// The line that it ends with.
        public var lastLine: Int
    }

    /// The file's name for diagnostics.
    public let file: String
    /// The instructions in their order.
    public let instructions: [Instruction]
    /// What is probably not meant, though it can be used.
    public let warnings: [Diagnostic]

    /// Reads a Kubefile.
    ///
    /// - Parameters:
    ///   - text: the file's content, at most 1 MiB.
    ///   - file: the name for diagnostics.
    /// - Throws: `InvalidText` with all mistakes of the file; instructions that are known in the field but not supported
    ///   yet are mistakes too.
    public static func parse(_ text: String, file: String = "Kubefile") throws(InvalidText) -> KubefileDocument {
        var parser = KubefileParser(text, file: file)
        return try parser.parse()
    }

    /// The base image's word; every Kubefile has exactly one.
    public var base: Word {
        for instruction in instructions {
            if case .from(let word) = instruction.content { return word }
        }
        return Word(source: "scratch", pieces: [.text("scratch")], position: SourcePosition(line: 1, column: 1))
    }

    /// A mistake at a place of this file, for checks that need more than the text.
    public func mistake(_ message: String, at position: SourcePosition) -> InvalidText {
        InvalidText([Diagnostic(file: file, line: position.line, column: position.column, message: message)])
    }
}
