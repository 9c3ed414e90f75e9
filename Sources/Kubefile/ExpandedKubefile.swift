/// A Kubefile whose variables were replaced: what the builder works through.
public struct ExpandedKubefile: Sendable {
    /// A text and where it stands in the file.
    public struct PlacedText: Sendable, Hashable {
        /// The text, variables replaced.
        public var text: String
        /// Where the word begins.
        public var position: SourcePosition

        /// Makes one.
        public init(text: String, position: SourcePosition) {
            self.text = text
            self.position = position
        }
    }

    /// A name with its value.
    public struct Assignment: Sendable, Hashable {
        /// The name.
        public var name: String
        /// The value, variables replaced.
        public var value: String

        /// Makes one.
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What an instruction says.
    public enum Content: Sendable, Hashable {
        /// The image to begin with, or `scratch`.
        case from(PlacedText)
        /// Files of the build context, and where they go.
        case copy(sources: [PlacedText], destination: PlacedText)
        /// Build arguments with the values that hold from here on; arguments that have none are left out.
        case arg([Assignment])
        /// Environment of launch commands.
        case env([Assignment])
        /// Labels of the image.
        case label([Assignment])
        /// A shell command, as written.
        case command(String)
        /// Shell commands, as written.
        case commands([String])
        /// An application and the paths of its files in the build context.
        case app(name: PlacedText, sources: [PlacedText])
        /// Which applications start, in order.
        case launch([KubefileDocument.LaunchedApp])
    }

    /// One instruction.
    public struct Instruction: Sendable {
        /// What it says.
        public var content: Content
        /// The instruction as written, in one line.
        public var text: String
        /// Where it begins.
        public var position: SourcePosition
    }

    /// The instructions in their order.
    public var instructions: [Instruction]
    /// The values that the build arguments had.
    public var arguments: [String: String]
    /// The environment of launch commands, the last value of each name.
    public var environment: [String: String]
    /// The labels, the last value of each name.
    public var labels: [String: String]
    /// Build arguments that were given and that no ARG names: probably misspelled. Sorted.
    public var unusedBuildArguments: [String]
}
