import FoundationEssentials
import OCI
import Report

/// What sealer 0.9 to 0.11 wrote into a manifest's annotations: what the image is for and what it starts. The members changed from
/// release to release; all that any of them wrote is read.
struct OlderExtension: Decodable, Sendable {
    /// The annotation that holds it.
    static let annotation = "sealer.image.extension"
    /// The annotation that lists the container images which the image was built with.
    static let imagesAnnotation = "sealer.image.container.images"

    struct Client: Decodable, Sendable {
        var sealerVersion: String?
    }

    struct Application: Decodable, Sendable {
        var name: String
        var type: String?
        /// 0.11.
        var files: [String]?
        /// 0.10.
        var launchfiles: [String]?
        var env: [String: String]?
        var cmds: [String]?
    }

    struct Launch: Decodable, Sendable {
        var cmds: [String]?
        var appNames: [String]?

        private enum CodingKeys: String, CodingKey {
            case cmds
            case appNames = "app_names"
        }
    }

    /// An entry of the list of container images.
    struct Listed: Decodable, Sendable {
        var image: String
    }

    var buildClient: Client?
    var type: String?
    var applications: [Application]?
    var launch: Launch?
    var env: [String: String]?
    /// Until the first 0.9: `image_type`, `cmd_set`, `arg_set`.
    var imageType: String?
    var commands: [String]?
    var arguments: [String: String]?

    private enum CodingKeys: String, CodingKey {
        case buildClient, type, applications, launch, env
        case imageType = "image_type"
        case commands = "cmd_set"
        case arguments = "arg_set"
    }

    /// Reads the annotation.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    static func parse(_ text: String, at place: String) throws -> OlderExtension {
        do {
            return try JSONDecoder().decode(OlderExtension.self, from: Data(text.utf8))
        } catch {
            throw Failure(
                .integrity, "the annotation \(annotation) is not what sealer 0.9 to 0.11 wrote", at: place,
                causes: [error])
        }
    }

    /// Reads the list of container images: their names as they were written.
    static func parseImages(_ text: String, at place: String) throws -> [String] {
        do {
            return try JSONDecoder().decode([Listed].self, from: Data(text.utf8)).map(\.image)
        } catch {
            throw Failure(
                .integrity, "the annotation \(imagesAnnotation) is not what sealer 0.11 wrote", at: place,
                causes: [error])
        }
    }

    /// The applications as format 1 has them.
    ///
    /// - Throws: `Failure` of kind `integrity` for a name that would lead out of its folder.
    func apps(at place: String) throws -> [ClusterImageConfig.App] {
        try (applications ?? []).map { application in
            guard Self.isName(application.name) else {
                throw Failure(.integrity, "has an application with the name \"\(application.name)\"", at: place)
            }
            let path = "application/apps/\(application.name)"
            let files = application.files ?? application.launchfiles ?? []
            let kind: ClusterImageConfig.App.Kind =
                switch application.type {
                case "helm": .helm
                case "kube": .kube
                // Whatever else there is brings commands of its own.
                default: .shell
                }
            var commands = application.cmds ?? []
            if commands.isEmpty, kind != .helm {
                // The files in their order, where the image tells one; format 1 alone would take all, by name.
                commands = files.map { (kind == .kube ? "kubectl apply --filename " : "bash ") + shellQuoted($0) }
            }
            // Those releases ran an application's commands in its folder.
            if !commands.isEmpty { commands.insert("cd \(shellQuoted(path))", at: 0) }
            return .init(
                name: application.name, type: kind, path: path, env: application.env ?? [:], commands: commands)
        }
    }

    /// What starts, in order: commands where there are some, else applications, as those releases decided.
    var launchList: [ClusterImageConfig.Launch] {
        let commands = (launch?.cmds ?? []) + (self.commands ?? [])
        return commands.isEmpty ? (launch?.appNames ?? []).map { .app($0) } : commands.map { .shell($0) }
    }

    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.contains("/") && !name.contains("\0")
    }
}
