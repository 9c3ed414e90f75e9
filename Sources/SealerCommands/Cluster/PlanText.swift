import ApplyEngine
import Terminal

/// A plan for people: by phase, with host, work and reason; what is destructive stands out.
struct PlanText {
    let plan: Plan

    /// The lines.
    var text: String {
        guard !plan.isEmpty else { return "nothing to do: the cluster \(plan.cluster) is what its Clusterfile says" }
        let hosts = Set(plan.steps.compactMap(\.host)).count
        var lines = [
            "plan for the cluster \(plan.cluster): \(Self.count(plan.steps.count, "step")) on \(Self.count(hosts, "host"))"
        ]
        for phase in PlanPhase.allCases {
            let steps = plan.steps.filter { $0.phase == phase }
            guard !steps.isEmpty else { continue }
            lines.append("")
            lines.append("\(phase.title):")
            var table = TextTable(header: [])
            for step in steps {
                table.add([step.isDestructive ? "  !" : "   ", step.host ?? "", step.title, step.reason])
            }
            lines += table.lines.dropFirst()
        }
        let destructive = plan.steps.filter(\.isDestructive).count
        if destructive > 0 {
            lines.append("")
            lines.append("! \(Self.count(destructive, "step")) end or delete what may be wanted still")
        }
        return lines.joined(separator: "\n")
    }

    private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}

extension PlanPhase {
    /// The phase for people.
    var title: String {
        switch self {
        case .prepare: "prepare"
        case .distribute: "distribute"
        case .install: "install"
        case .controlPlane: "control plane"
        case .join: "join"
        case .configure: "configure"
        case .launch: "launch"
        case .verify: "verify"
        case .leave: "leave"
        case .clean: "clean"
        }
    }
}
