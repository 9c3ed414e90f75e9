import ArgumentParser
import Clusterfile

struct ExplainCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Tell what a field of a Clusterfile means.",
        discussion: """
            Without a path it lists the kinds of documents that a Clusterfile may hold.

            Example:
              sealer explain cluster.spec.hosts
              sealer explain plugin
            """
    )

    @Argument(help: ArgumentHelp("A kind, and the names of fields, parted by dots.", valueName: "path"))
    var path: String = ""

    func run(in context: CommandContext) async throws {
        context.write(try ClusterfileSchema.explain(path).withoutLineEnd)
    }
}

struct SchemaCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Print the JSON Schema of a Clusterfile, for editors.",
        discussion: """
            Each document of a Clusterfile is checked against it by itself. 'sealer plan' is stricter.

            Example:
              sealer schema > clusterfile.schema.json
            """
    )

    func run(in context: CommandContext) async throws {
        context.write(ClusterfileSchema.jsonSchema.withoutLineEnd)
    }
}

extension String {
    /// The text without the line end after its last line, which printing adds again.
    var withoutLineEnd: String { hasSuffix("\n") ? String(dropLast()) : self }
}
