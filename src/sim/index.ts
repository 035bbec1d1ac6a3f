export { type Campaign, type CampaignReport, runCampaign } from "./campaign.ts";
export { type MutantOutcome, runMutants } from "./mutants.ts";
export { simReasons } from "./reasons.ts";
export {
  drawSchedule,
  type Fault,
  type Profile,
  profiles,
  type Schedule,
  type Step,
} from "./schedule.ts";
export { type RunResult, runSchedule } from "./world.ts";
